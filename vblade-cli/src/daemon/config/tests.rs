//! Whole files, and what they mean or what is said of them.

use std::fs;
use std::path::{Path, PathBuf};

use aoe_target::{Address, Identity, MacAddr};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::stack::DEPTH;

/// An export in which nothing is wrong.
const DISK: &str = "[[export]]\naddress = '7.3'\npath = '/srv/a'\ninterfaces = 'eth1'\n";

fn surroundings(ethers: &Path) -> Surroundings {
    Surroundings { host: "host".into(), ethers: ethers.into(), ..Surroundings::ours() }
}

fn parse(text: &str) -> Result<Config, String> {
    let surroundings = surroundings(Path::new("/nonexistent"));
    Config::parse(Path::new("f"), text.into(), &surroundings).map_err(|mistakes| mistakes.to_string())
}

/// What is said of a file with `lines`.
fn mistakes(lines: &str) -> String {
    parse(lines).expect_err("a mistake")
}

/// What is said of `DISK` with `line`.
fn of_disk(line: &str) -> String {
    mistakes(&format!("{DISK}{line}\n"))
}

/// The export of `DISK` with `lines`.
fn disk(lines: &str) -> Export {
    let mut config = parse(&format!("{DISK}{lines}\n")).expect("an export");
    config.exports.pop().expect("an export")
}

/// A directory with files, which are named by `/` below it.
fn dir(files: &[(&str, &[u8])]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    let main = dir.path().join("vblade.toml");
    (dir, main)
}

/// What is said of the files, without the directory.
fn of_files(files: &[(&str, &[u8])]) -> String {
    let (dir, main) = dir(files);
    let mistakes = Config::load(&main).expect_err("a mistake").to_string();
    mistakes.replace(&format!("{}/", dir.path().display()), "")
}

#[test]
fn an_empty_file_is_a_daemon_without_exports() {
    let config = parse("").expect("no mistake");
    assert!(config.exports.is_empty());
    assert_eq!(config.daemon, Daemon::default());
}

#[test]
fn what_is_not_said_is_as_vblade_has_it() {
    let export = disk("");
    assert_eq!((export.cache, export.read_only, export.force), (Cache::Writethrough, false, false));
    assert_eq!((export.offset, export.length, export.queue_depth), (0, None, DEPTH));
    assert_eq!((export.target.address, export.target.buffer_count), (Address::new(7, 3), 16));
    assert!(!export.target.write_cache && !export.target.lock_mask && !export.target.lock_config);
    assert!(export.target.allow.is_empty() && export.target.deny.is_empty() && !export.target.lock_reserve);
    assert_eq!(export.origin, "f:1");
    assert_eq!(export.netifs, [Pattern("eth1".into())]);
}

#[test]
fn each_key_says_what_it_says() {
    let export = disk(
        "cache = 'none'\nread_only = true\noffset = 8\nlength = 16\nbuffer_count = 64\nqueue_depth = 8\nserial = 'S1'\nmodel = 'M'\n\
         allow = ['02:00:00:00:00:01', '@b']\ndeny = '02-00-00-00-00-03'\nmask_edits = false\nconfig_writes = false\n\
         reservations = false\nsector_align = true\niops = 500\nbytes_per_second = '100M'\nforce = true\n\
         [groups]\na = ['020000000002', '02:00:00:00:00:01']\nb = '@a'",
    );
    assert_eq!((export.cache, export.read_only, export.force), (Cache::None, true, true));
    assert_eq!((export.offset, export.length, export.queue_depth), (8, Some(16), 8));
    let target = &export.target;
    assert!(target.write_cache && target.sector_align);
    assert!(target.lock_mask && target.lock_config && target.lock_reserve);
    let identity = Identity::new("S1", Identity::FIRMWARE, "M").expect("names");
    assert_eq!((target.buffer_count, &target.identity), (64, &identity));
    assert_eq!(target.allow, [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])]);
    assert_eq!(target.deny, [MacAddr([2, 0, 0, 0, 0, 3])]);
    assert_eq!(export.target.iops.map(u32::from), Some(500));
    assert_eq!(export.target.bytes_per_second.map(u64::from), Some(100 << 20));

    let daemon = parse(
        "[daemon]\nsocket = '/run/s'\ngroup = 'disk'\nmetrics = '[::1]:9590'\nstate_dir = '/s'\ntrace_dir = '/t'\nlink = 'packet'\n\
         recv_buffer = '16M'\nsandbox = false",
    );
    let daemon = daemon.expect("no mistake").daemon;
    assert_eq!((daemon.socket, daemon.socket_group), ("/run/s".into(), Some("disk".into())));
    assert_eq!(daemon.metrics, Some(([0, 0, 0, 0, 0, 0, 0, 1], 9590).into()));
    assert_eq!((daemon.state_dir, daemon.trace_dir), (Some("/s".into()), Some("/t".into())));
    assert_eq!((daemon.link, daemon.recv_buffer, daemon.sandbox), (LinkKind::Packet, 16 << 20, false));
}

#[test]
fn disks_are_named_by_path_by_tag_and_by_address() {
    let source = |path: &str| {
        let text = format!(
            "[[export]]\naddress = 'e7.3'\npath = '{path}'\ninterfaces = ['a', 'b*']\nread_only = true"
        );
        parse(&text).map(|config| config.exports[0].source.clone())
    };
    assert_eq!(source("/dev/sdb"), Ok(Source::Path("/dev/sdb".into())));
    let path = |text| source(text).expect("a disk").path();
    assert_eq!(path("UUID=1-2"), Some("/dev/disk/by-uuid/1-2".into()));
    assert_eq!(path("ID=wwn-0x5"), Some("/dev/disk/by-id/wwn-0x5".into()));
    let Ok(Source::Remote(remote)) = source("aoe:e8.1@eth0,eth1") else { panic!("another target's disk") };
    assert_eq!((remote.address, remote.netifs.len(), remote.read_only), (Address::new(8, 1), 2, true));
    for (path, said) in [
        ("disk.img", "give it with all its directories"),
        ("", "give it with all its directories"),
        ("UUID=", "give UUID= with what blkid shows"),
        ("UUID=../sda", "names no disk"),
        ("UIDD=1", "neither a path nor a tag; give UUID=,"),
        ("aoe:e7.3", "give \"aoe:e7.3@eth0\""),
    ] {
        let error = source(path).expect_err("no disk");
        assert!(error.starts_with("f:3:8: path: ") && error.contains(said), "{path}: {error}");
    }
}

#[test]
fn exports_take_from_the_defaults_what_they_do_not_say() {
    let config = parse(
        "[defaults]\ncache = 'directsync'\ninterfaces = 'eth9'\nallow = '02:00:00:00:00:01'\nread_only = true\n\
         [[export]]\naddress = '1.2'\npath = '/a'\n\
         [[export]]\naddress = '1.1'\npath = '/b'\ninterfaces = 'eth1'\ncache = 'none'\nallow = []\n",
    );
    let exports = config.expect("no mistake").exports;
    let [own, theirs] = &*exports else { panic!("two exports") };
    assert_eq!(own.target.address, Address::new(1, 1), "they are in the order of their addresses");
    assert_eq!((own.cache, theirs.cache), (Cache::None, Cache::Directsync));
    assert_eq!((own.target.allow.len(), theirs.target.allow.len()), (0, 1));
    assert_eq!((&*own.netifs[0].0, &*theirs.netifs[0].0), ("eth1", "eth9"));
    assert!(own.read_only && theirs.read_only);
}

#[test]
fn a_default_that_is_wrong_is_told_once_where_it_is_written() {
    let text = format!(
        "[defaults]\ncache = 'fast'\nserial = 'S'\n{DISK}[[export]]\naddress = '7.4'\npath = '/b'\ninterfaces = 'eth1'\n"
    );
    let said = mistakes(&text);
    assert_eq!(
        said,
        "f:2:9: cache: \"fast\" is not known; give one of writethrough, writeback, none, directsync\n\
         f:3:1: serial: is different for each disk; give it in each [[export]] instead"
    );
}

#[test]
fn all_mistakes_are_told_at_once_with_line_column_and_remedy() {
    let said = mistakes(
        "[daemon]\nsokcet = '/s'\nmetrics = '0.0.0.0:1'\nlink = 'pakcet'\n\n[[export]]\naddress = '7.255'\nread-only = true\nbuffer_count = 1\n\
         length = '5'\nallow = ['nobody', '@none']\n[[exports]]\n",
    );
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "f:2:1: unknown key \"sokcet\"; did you mean socket?",
            "f:3:11: metrics: 0.0.0.0:1 can be reached from elsewhere; give a loopback address, such as \"127.0.0.1:9590\"",
            "f:4:8: link: \"pakcet\" is not known; did you mean \"packet\"?",
            "f:6:1: [[export]] without interfaces; add one, such as interfaces = [\"eth1\"]",
            "f:6:1: [[export]] without path; add one, such as path = \"/dev/sdb\"",
            "f:7:11: address: \"7.255\" means every target; give shelf 0 to 65534 and slot 0 to 254",
            "f:8:1: unknown key \"read-only\"; did you mean read_only?",
            "f:9:16: buffer_count: 1 is out of range; give 2 to 65535",
            "f:10:10: length: this is a text; give a whole number without quotes, 1 to 281474976710656",
            "f:11:10: allow: \"nobody\" is no MAC address and not in /nonexistent; add it there, or give the address",
            "f:11:20: allow: there is no group \"none\"; define it in [groups]",
            "f:12:3: unknown key \"exports\"; did you mean export?",
        ]
    );
}

#[test]
fn a_key_far_from_all_others_is_told_with_those_that_there_are() {
    let said = of_disk("colour = 'red'");
    assert!(
        said.starts_with("f:5:1: unknown key \"colour\"; known here: address, allow, buffer_count, "),
        "{said}"
    );
}

#[test]
fn what_is_no_toml_is_told_with_all_else_that_is_wrong() {
    let said = mistakes(&format!("{DISK}cache = \nbuffer_count = 1\n[[export]\npath = 'b'\npath = '/c'\n"));
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "f:5:9: not TOML: string values must be quoted, expected literal string; see https://toml.io",
            "f:6:16: buffer_count: 1 is out of range; give 2 to 65535",
            "f:7:10: not TOML: unclosed array table, expected `]`; see https://toml.io",
        ],
        "what is missed may be there, and what is not known may belong elsewhere"
    );
    let said = mistakes(&format!("{DISK}offset = 1\noffset = 2\n"));
    assert_eq!(said, "f:6:1: not TOML: duplicate key; see https://toml.io");
}

#[test]
fn one_address_is_one_exports_where_one_initiator_could_see_both() {
    let two = |one: &str, other: &str| {
        let text = format!(
            "[[export]]\naddress = '7.3'\npath = '/a'\ninterfaces = {one}\n[[export]]\naddress = 'e7.3'\npath = '/b'\ninterfaces = {other}\n"
        );
        parse(&text).map(drop)
    };
    assert_eq!(two("'eth1'", "'eth2'"), Ok(()));
    assert_eq!(two("'eth*'", "['aoe?', 'br0']"), Ok(()));
    for (one, other) in [("'eth1'", "'eth1'"), ("['eth2', 'eth1']", "'eth*'"), ("'eth*'", "'*1'")] {
        let said = two(one, other).expect_err("two at one address");
        assert_eq!(
            said,
            "f:6:11: e7.3 is the address of another export on the same interface, at f:2:11; give another one, or other interfaces"
        );
    }
}

#[test]
fn the_same_sectors_of_a_file_are_written_by_one_export() {
    let dir = tempfile::tempdir().expect("a directory");
    let (disk, link) = (dir.path().join("disk"), dir.path().join("link"));
    fs::write(&disk, "").expect("a file");
    std::os::unix::fs::symlink(&disk, &link).expect("a link");
    let two = |one: &Path, other: &Path, options: &str, more: &str| {
        let text = format!(
            "[[export]]\naddress = '7.3'\npath = {one:?}\ninterfaces = 'a'\n{options}\n\
             [[export]]\naddress = '7.4'\npath = {other:?}\ninterfaces = 'a'\n{more}\n"
        );
        parse(&text).map(drop)
    };
    let missing = Path::new("/nonexistent/disk");
    for (one, other) in
        [(&*disk, &*disk), (&disk, &link), (missing, missing), (missing, Path::new("/nonexistent/./disk"))]
    {
        for (options, more) in [("", ""), ("length = 9", "offset = 8"), ("offset = 8", "length = 9")] {
            let said = two(one, other, options, more).expect_err("the same sectors");
            assert!(
                said.starts_with(
                    "f:8:8: e7.4 and e7.3 write to the same sectors of this file, see f:3:8; give"
                ),
                "{said}"
            );
        }
        for (options, more) in [("length = 8", "offset = 8"), ("read_only = true", ""), ("", "force = true")]
        {
            assert_eq!(two(one, other, options, more), Ok(()), "{options}, {more}");
        }
    }
    assert_eq!(two(&disk, missing, "", ""), Ok(()));
}

#[test]
fn a_group_within_itself_and_one_that_is_too_deep_are_refused() {
    let said = mistakes("[groups]\na = ['@b']\nb = ['@c', '02:00:00:00:00:01']\nc = '@a'\n");
    assert_eq!(said, "f:4:5: c: the group is part of itself by way of @a; leave that out");
    let chain: String = (0..100).map(|n| format!("g{n:03} = '@g{:03}'\n", n + 1)).collect();
    let said = mistakes(&format!("[groups]\n{chain}g100 = []\n"));
    assert!(said.contains("more than 32 deep; list initiators"), "{said}");
}

#[test]
fn members_that_are_no_initiators_are_told_with_the_remedy() {
    for (member, said) in [
        ("01:00:5e:00:00:01", "a group address is no initiator's own; give the address of its interface"),
        ("00:00:00:00:00:00", "the zero address is no initiator's own"),
        ("02:00:00:00:00:gg", "not a hexadecimal digit; give one such as"),
        ("web", "is a group; write \"@web\""),
        ("@wbe", "there is no group \"wbe\"; did you mean @web?"),
    ] {
        let error = of_disk(&format!("deny = ['{member}']\n[groups]\nweb = []"));
        assert!(error.starts_with("f:5:9: deny: ") && error.contains(said), "{member}: {error}");
    }
    let error = of_disk("allow = ['@web']\n[groups]\nweb = []");
    assert!(error.contains("the groups have nobody in them; add initiators"), "{error}");
}

#[test]
fn initiators_may_be_named_as_in_ethers() {
    let (dir, ethers) = dir(&[("vblade.toml", b"02:00:00:00:00:09 web9\n")]);
    let text = format!("{DISK}allow = ['web9']\n");
    let config = Config::parse(Path::new("f"), text.into(), &surroundings(&ethers)).expect("a name");
    assert_eq!(config.exports[0].target.allow, [MacAddr([2, 0, 0, 0, 0, 9])]);
    drop(dir);
}

#[test]
fn names_that_a_disk_has_no_room_for_are_refused() {
    for (line, said) in [
        ("serial = ''", "give 1 to 20 printable ASCII"),
        ("serial = '123456789012345678901'", "give 1 to 20 printable ASCII"),
        ("model = '\u{e9}'", "give 1 to 40 printable ASCII"),
    ] {
        assert!(of_disk(line).contains(said), "{line}");
    }
}

#[test]
fn interfaces_are_named_once_and_at_least_one() {
    let interfaces = |list: &str| mistakes(&DISK.replace("'eth1'", list));
    assert!(interfaces("[]").contains("nobody would be served"));
    assert!(interfaces("['a', 'b', 'a']").contains("f:4:25: interfaces: \"a\" is named twice"));
    assert!(interfaces("'a-name-of-sixteen'").contains("longer than the name of an interface can be"));
    assert!(interfaces("7").contains("give a list of texts"));
}

#[test]
fn another_targets_disk_is_exported_as_a_whole() {
    let said = mistakes("[[export]]\naddress = '7.3'\npath = 'aoe:e8.1@a'\ninterfaces = 'b'\noffset = 8\n");
    assert!(said.starts_with("f:5:10: offset: only a file can be exported in part"), "{said}");
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
}

#[test]
fn the_example_is_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib/vblade.toml");
    let config = Config::load(&file).expect("no mistake");
    assert_eq!(config.exports.len(), 3);
    assert_eq!(config.exports[0].target.allow.len(), 2);
    assert!(config.exports[0].target.lock_mask && config.exports[2].read_only);
}

#[test]
fn the_reference_names_each_key() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    let reference = fs::read_to_string(reference).expect("the reference");
    let known = |section: &str| {
        let said = mistakes(&format!("{section}\nqqqqqqqqqqqqqqqqqqqq = 1\n"));
        let list =
            said.split("known here: ").nth(1).expect("the keys").lines().next().expect("a line").to_owned();
        list.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let keys = [known("[daemon]"), known("[[export]]")].concat();
    assert_eq!(keys.len(), 8 + 20);
    for key in keys {
        assert!(reference.contains(&format!("| `{key}` | ")), "{key} is not in docs/config.md");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Config::parse(Path::new("f"), bytes, &surroundings(Path::new("/nonexistent")));
    }

    /// The example with bytes replaced, inserted and cut.
    #[test]
    fn no_damage_to_a_file_makes_the_reader_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0..4_usize, any::<u8>()), 1..6)
    ) {
        let mut bytes = include_bytes!("../../../../contrib/vblade.toml").to_vec();
        for (at, cut, byte) in damage {
            let at = at.index(bytes.len());
            bytes.splice(at..bytes.len().min(at + cut), [byte]);
        }
        let _ = Config::parse(Path::new("f"), bytes, &surroundings(Path::new("/nonexistent")));
    }

    /// Keys and values of the right kind and of the wrong one, in any order and number.
    #[test]
    fn no_lines_make_the_reader_panic_and_each_mistake_has_a_place(
        lines in prop::collection::vec(prop::sample::select(&LINES[..]), 0..40)
    ) {
        let text = lines.join("\n");
        if let Err(mistakes) = parse(&text) {
            for mistake in mistakes.lines() {
                prop_assert!(mistake.starts_with("f:"), "{}", mistake);
            }
        }
    }
}

const LINES: [&str; 34] = [
    "[daemon]",
    "[defaults]",
    "[groups]",
    "[[export]]",
    "[export]",
    "export = 1",
    "a = '@b'",
    "b = ['@a', 'x', 1]",
    "b = '@b'",
    "address = '7.3'",
    "address = 7.3",
    "address = 'x'",
    "path = '/a'",
    "path = 'UUID=\u{e9}'",
    "path = 'aoe:e7.3@a'",
    "path = []",
    "interfaces = 'eth*'",
    "interfaces = ['eth[', '']",
    "interfaces = {}",
    "offset = 281474976710656",
    "offset = -1",
    "length = 0x10",
    "length = 1e3",
    "cache = 'none'",
    "cache = 'nnoe'",
    "read_only = true",
    "iops = 0",
    "bytes_per_second = '9G'",
    "serial = ''",
    "allow = ['@a', '@c']",
    "model = '\\u0000'",
    "deny = 1979-05-27",
    "x.y.z = 1",
    "\"\u{e9}\" = [[",
];
