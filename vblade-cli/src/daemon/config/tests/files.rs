//! Several files, and files that cannot be read.

use super::*;

/// What is said of the files, without the directory.
fn of_files(files: &[(&str, &[u8])]) -> String {
    let (dir, main) = dir(files);
    let mistakes = Config::load(&main).expect_err("a mistake").to_string();
    mistakes.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn drop_ins_are_read_in_order_of_their_names() {
    let export = |address: &str| format!("[[export]]\naddress = '{address}'\npath = '/{address}'\n");
    let (one, two) = (export("1.1"), format!("{}allow = '@a'\n", export("1.2")));
    let (dir, main) = dir(&[
        ("vblade.toml", b"[defaults]\ninterfaces = 'eth1'\n"),
        ("conf.d/20.toml", two.as_bytes()),
        ("conf.d/10.toml", one.as_bytes()),
        ("conf.d/15-groups.toml", b"[groups]\na = '02:00:00:00:00:01'\n"),
        ("conf.d/.#20.toml", b"nonsense"),
        ("conf.d/20.toml~", b"nonsense"),
    ]);
    let config = Config::load(&main).expect("no mistake");
    let origins: Vec<_> = config.exports.iter().map(|export| export.origin.clone()).collect();
    let conf_d = dir.path().join("conf.d");
    assert_eq!(
        origins,
        [
            format!("{}:1", conf_d.join("10.toml").display()),
            format!("{}:1", conf_d.join("20.toml").display())
        ]
    );
    assert_eq!(config.exports[1].target.allow.len(), 1);
}

#[test]
fn mistakes_of_all_files_are_told_together() {
    let said = of_files(&[
        ("vblade.toml", b"[groups]\na = []\n[daemon]\nnonsense = 1\n"),
        ("conf.d/10.toml", b"[groups]\na = []\n"),
        ("conf.d/20.toml", b"[daemon]\nlink = 'auto'\n[defaults]\n"),
        ("conf.d/30.toml", b"# caf\xe9\n"),
    ]);
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[0].starts_with("vblade.toml:4:1: unknown key \"nonsense\""), "{said}");
    assert!(lines[1].starts_with("conf.d/10.toml:2:1: group \"a\" is defined in "), "{said}");
    assert!(lines[2].starts_with("conf.d/20.toml:1:2: [daemon] holds for all files; move it"), "{said}");
    assert!(lines[3].starts_with("conf.d/20.toml:3:2: [defaults] holds for all files"), "{said}");
    assert_eq!(lines[4], "conf.d/30.toml:1:6: not UTF-8; save the file in that encoding");
    assert_eq!(lines.len(), 5, "{said}");
}

#[test]
fn files_that_cannot_be_read_are_told_by_name() {
    assert!(of_files(&[]).starts_with("vblade.toml: cannot be read: No such file"));
    assert!(
        of_files(&[("vblade.toml/x", b"")]).starts_with("vblade.toml: cannot be read: not a regular file")
    );
    let said = of_files(&[("vblade.toml", b""), ("conf.d", b"")]);
    assert!(said.starts_with("conf.d: cannot be read: Not a directory"), "{said}");
    let said = of_files(&[("vblade.toml", b""), ("conf.d/a.toml/x", b"")]);
    assert!(said.starts_with("conf.d/a.toml: cannot be read: not a regular file"), "{said}");
    let (dir, main) = dir(&[("vblade.toml", b"")]);
    fs::File::options()
        .write(true)
        .open(&main)
        .and_then(|file| file.set_len((16 << 20) + 1))
        .expect("a file");
    let said = Config::load(&main).expect_err("too large").to_string();
    assert!(said.contains("vblade.toml: cannot be read: larger than 16 MiB"), "{said}");
    drop(dir);
}
