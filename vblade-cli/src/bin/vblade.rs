//! `vblade`: exports a file or block device over ATA over Ethernet.

fn main() -> std::process::ExitCode {
    vblade_cli::vblade::main()
}
