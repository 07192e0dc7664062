//! `vbladed`: exports many files and block devices over ATA over Ethernet, as configured.

fn main() -> std::process::ExitCode {
    vblade_cli::daemon::main()
}
