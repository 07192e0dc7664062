//! Landlock (landlock(7)): which files may be opened, and what else of the system may be reached.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

/// The newest version whose rights are known here. An older kernel enforces those that it knows.
const NEWEST: ABI = ABI::V9;

/// What replacing a state file takes: a new file is written, renamed over the old one, or removed, and the directory is synced.
const STORE: BitFlags<AccessFs> =
    make_bitflags!(AccessFs::{MakeReg | WriteFile | Truncate | RemoveFile | ReadDir});

/// Allows the calling thread, and those that it will start, no file but in `state_dir`, no TCP, and no socket or process outside. What is open stays
/// usable. Returns the version that is in force.
///
/// # Errors
///
/// Why nothing is in force.
pub(super) fn confine(state_dir: Option<&Path>) -> Result<i32, String> {
    match restrict(state_dir) {
        Ok((RulesetStatus::NotEnforced, _)) => {
            Err("no Landlock: this kernel has none, or it is not among those of its boot option lsm="
                .to_owned())
        }
        Ok((_, LandlockStatus::Available { effective_abi, kernel_abi })) => {
            Ok(kernel_abi.unwrap_or(effective_abi as i32))
        }
        Ok(_) => Err("no Landlock".to_owned()),
        Err(error) => Err(format!("no Landlock: {error}")),
    }
}

fn restrict(state_dir: Option<&Path>) -> Result<(RulesetStatus, LandlockStatus), RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    // One that is not there cannot be written to, of which the user is told elsewhere.
    if let Some(dir) = state_dir.and_then(|dir| PathFd::new(dir).ok()) {
        rules = rules.add_rule(PathBeneath::new(dir, STORE))?;
    }
    let status = rules.restrict_self()?;
    Ok((status.ruleset, status.landlock))
}
