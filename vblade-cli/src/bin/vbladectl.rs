//! `vbladectl`: asks and instructs a running `vbladed`.

fn main() -> std::process::ExitCode {
    vblade_cli::ctl::main()
}
