//! Files as they are found, and what is made of them.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::cli::Cache;
use crate::daemon::config::{Export, Source};

fn dir(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, content).expect("a file");
    }
    dir
}

/// What is made of `text`, whose kind is guessed.
fn draft_of(text: &str) -> Draft {
    let dir = dir(&[("old", text)]);
    let mut draft = Draft::default();
    read(None, &dir.path().join("old"), &mut draft).expect("a draft");
    draft
}

fn exports(draft: &Draft) -> Vec<Export> {
    let surroundings =
        Surroundings { host: "host".into(), ethers: "/nonexistent".into(), ..Surroundings::ours() };
    Config::parse(Path::new("result"), draft.to_string().into(), &surroundings).expect("no mistake").exports
}

fn remarks(draft: &Draft) -> String {
    draft.remarks().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_of_debian_is_one_export() {
    let draft = draft_of(
        "# a disk\nshelf=10\nslot=3\nnetif=em3\nfilename='/srv/a disk'\n\
         options='-b 32 -d -s -r -m 021122334455,02:11:22:33:44:66 -o 8 -l 16'\n\
         ionice='--class best-effort --classdata 7'\nnote=mine\n",
    );
    let exports = exports(&draft);
    let [export] = &exports[..] else { panic!("one export") };
    assert_eq!(export.target.address.to_string(), "e10.3");
    assert_eq!(export.source, Source::Path("/srv/a disk".into()));
    assert_eq!((&*export.netifs[0].0, export.netifs.len()), ("em3", 1));
    assert_eq!((export.cache, export.read_only), (Cache::Directsync, true));
    assert_eq!((export.offset, export.length), (8, Some(16)));
    assert_eq!((export.target.buffer_count, export.target.allow.len()), (32, 2));
    let remarks = remarks(&draft);
    assert_eq!(remarks.lines().count(), 2, "{remarks}");
    assert!(remarks.contains("ionice was left out") && remarks.contains("note was left out"), "{remarks}");
    assert!(!draft.left_out);
}

#[test]
fn nothing_of_debians_is_executed_and_what_is_damaged_is_named() {
    for (text, said) in [
        ("shelf=1\nslot=2\nnetif=a\n", "not set: filename"),
        ("shelf=1\nslot=2\nnetif=a\nfilename=$(touch x)\n", "filename takes a shell to evaluate"),
        ("if true; then\nshelf=1\nfi\n", "line 1: \"if\" is not NAME=value"),
        ("shelf=1\nslot='2\n", "a quote is not closed"),
        ("shelf=65535\nslot=2\nnetif=a\nfilename=/x\n", "shelf \"65535\": out of range; give 0 to 65534"),
        ("shelf=1\nslot=2\nnetif=a\nfilename=/x\noptions=-z\n", "'-z'"),
        ("shelf=1\nslot=2\nnetif=a\nfilename=/x\noptions='-m zz'\n", "-m \"zz\""),
    ] {
        let draft = draft_of(text);
        let remarks = remarks(&draft);
        assert!(
            draft.left_out && remarks.contains("left out: ") && remarks.contains(said),
            "{text}: {remarks}"
        );
        assert!(exports(&draft).is_empty());
    }
}

#[test]
fn a_template_without_a_disk_is_no_fault() {
    let draft = draft_of("# shelf=\n# slot=\n");
    assert!(!draft.left_out && exports(&draft).is_empty());
    assert!(remarks(&draft).contains("no disk: shelf, slot, netif and filename are not set"));
}

#[test]
fn variables_in_capitals_are_taken_over_and_told() {
    let draft = draft_of("Shelf=1\nSlot=2\nNetIf=a\nFilename=b\nOptions=\"-m 021122334455\"\n");
    let exports = exports(&draft);
    assert_eq!(exports[0].source, Source::Path("/b".into()), "as from the root, where it was started");
    assert!(remarks(&draft).contains("variables in capitals"));
}

#[test]
fn a_directory_of_debian_is_an_export_for_each_conf() {
    let conf = |slot: u8| format!("shelf=1\nslot={slot}\nnetif=a\nfilename=/{slot}\n");
    let dir = dir(&[
        ("a.conf", &conf(1)),
        ("b.conf", &conf(2)),
        ("c.conf~", "x"),
        (".d.conf", "x"),
        ("e.conf/x", ""),
    ]);
    let mut draft = Draft::default();
    read(None, dir.path(), &mut draft).expect("a draft");
    assert_eq!(exports(&draft).len(), 2);
    assert!(draft.left_out && remarks(&draft).contains("e.conf: left out: not a regular file"));
}

#[test]
fn directories_of_vblade_persist_are_exports() {
    let dir = dir(&[
        ("e0.1/env/SHELF", "0\n"),
        ("e0.1/env/SLOT", "1\n"),
        ("e0.1/env/NETIF", "eth0\n"),
        ("e0.1/env/SOURCE", "/dev/vg/a\n"),
        ("e0.1/env/OTHER", "x\n"),
        ("e0.1/macs/02:00:00:00:00:01", ""),
        ("e0.2/env/SHELF", "0\n"),
        ("e0.3/env/SHELF", "0"),
        ("e0.3/env/SLOT", "3"),
        ("e0.3/env/NETIF", "eth0"),
        ("e0.3/env/SOURCE", "/dev/vg/c"),
        ("e0.3/down", ""),
    ]);
    let mut draft = Draft::default();
    read(None, dir.path(), &mut draft).expect("a draft");
    let exports = exports(&draft);
    assert_eq!(exports.len(), 1);
    assert_eq!((exports[0].target.address.to_string(), exports[0].target.allow.len()), ("e0.1".into(), 1));
    let remarks = remarks(&draft);
    for said in
        ["env/OTHER was left out", "e0.2: left out: env/SLOT: No such file", "e0.3: not served at boot"]
    {
        assert!(remarks.contains(said), "{said}: {remarks}");
    }
}

#[test]
fn sections_of_openwrt_are_exports() {
    let draft = draft_of(
        "config 'vblade'\n\toption 'shelf' '1'\n\toption 'slot' '1'\n\toption 'netif' 'eth0'\n\toption 'device' '/dev/sda'\n\n\
         config vblade web\n  option shelf 1\n  option slot 2\n  option netif br-lan\n  option device \"/mnt/a b\"\n  option colour red\n\
         config vblade\n  option shelf 1\nconfig other\n  option x 1\n",
    );
    let exports = exports(&draft);
    assert_eq!(exports.len(), 2);
    assert_eq!(exports[1].source, Source::Path("/mnt/a b".into()));
    let remarks = remarks(&draft);
    for said in [
        "old:7: colour was left out",
        "old:13: left out: without slot",
        "section \"other\" was left out",
        "old:16: x was left out",
    ] {
        assert!(remarks.contains(said), "{said}: {remarks}");
    }
}

#[test]
fn each_key_of_ggaoed_is_taken_over_or_named() {
    let draft = draft_of(
        "[defaults]\nqueue-length = 32\ninterfaces = eth2, vlan*\npid-file = /p\ncontrol-socket = /c\nstate-directory = /s\nmtu = 9000\n\
         ring-buffer-size = 4096\nsend-buffer-size = 1\nreceive-buffer-size = 1\nmax-delay = 0.1\nmerge-delay = 0.0\ntrace-io = true\n\
         [acls]\na = 00:C0:4F:A1:66:94, 00:1B:21:0A:AA:22\nb = a, 00:0E:0C:3E:3B:0B\n[eth2]\nmtu = 9000\n\
         [one]\npath = /dev/sdb\nshelf = 1\nslot = 2\naccept = b, 00:30:48:69:41:3A\ndeny = a\nbroadcast = true\nread-only = true\n\
         [two]\nuuid = 1-2\nshelf = 1\nslot = 3\ndirect-io = false\nqueue-length = 1\ninterfaces = eth?\nmax-delay = 0.1\ncolour = red\n\
         [three]\npath = /x\nshelf = 1\n",
    );
    let exports = exports(&draft);
    let [one, two] = &exports[..] else { panic!("two exports") };
    assert_eq!(
        (one.cache, one.read_only, one.queue_depth, one.target.buffer_count),
        (Cache::None, true, 32, 32)
    );
    assert_eq!((one.target.allow.len(), one.target.deny.len()), (4, 2));
    assert_eq!(one.netifs.iter().map(|netif| &*netif.0).collect::<Vec<_>>(), ["eth2", "vlan*"]);
    assert_eq!((two.cache, two.queue_depth, two.target.buffer_count), (Cache::Writethrough, 1, 2));
    assert_eq!(two.source.path(), Some("/dev/disk/by-uuid/1-2".into()));
    assert_eq!(&*two.netifs[0].0, "eth?");
    let remarks = remarks(&draft);
    for said in [
        "pid-file = /p",
        "control-socket = /c",
        "state-directory = /s",
        "mtu = 9000 in [defaults]",
        "ring-buffer-size",
        "send-buffer-size",
        "receive-buffer-size",
        "max-delay = 0.1 in [defaults]",
        "merge-delay",
        "trace-io",
        "[eth2]: mtu = 9000",
        "[one]: broadcast = true",
        "[two]: max-delay",
        "[two]: colour = red was left out: it has no counterpart",
        "[two]: ggaoed looked",
        "[three]: left out: without slot",
    ] {
        assert_eq!(remarks.matches(said).count(), 1, "{said}: {remarks}");
    }
    assert!(draft.left_out);
}

#[test]
fn whatever_is_in_a_name_stays_in_its_value() {
    let draft = draft_of("shelf=1\nslot=2\nnetif=a\nfilename='/a\"\\\n[[export]] # \u{e9}'\n");
    assert_eq!(exports(&draft)[0].source, Source::Path("/a\"\\\n[[export]] # \u{e9}".into()));
}

#[test]
fn a_file_is_written_whole_and_only_replaced_when_asked_to() {
    let dir = dir(&[("old", "old")]);
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    write_file(&new, b"text", false).expect("written");
    let error = write_file(&old, b"text", false).expect_err("it is there");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&old).expect("a file"), b"old");
    let reader = File::open(&old).expect("a file");
    write_file(&old, b"text", true).expect("replaced");
    assert_eq!(io::read_to_string(reader).expect("a file"), "old", "nobody sees half of it");
    assert_eq!(
        (fs::read(&old).expect("a file"), fs::read(&new).expect("a file")),
        (b"text".to_vec(), b"text".to_vec())
    );
    assert!(write_file(&dir.path().join("not/there"), b"text", false).is_err());
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 2, "nothing else is left");
}

#[test]
fn exports_that_cannot_be_beside_each_other_are_not_written() {
    let conf = "shelf=1\nslot=2\nnetif=a\nfilename=/x\n";
    let dir = dir(&[("a.conf", conf), ("b.conf", conf)]);
    let output = dir.path().join("new");
    let status = import(None, &[dir.path().to_owned()], Some(&output), false);
    assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(2)));
    assert!(!output.exists());
    let status = import(None, &[dir.path().join("a.conf")], Some(&output), false);
    assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::SUCCESS));
    assert!(output.exists());
}

proptest! {
    /// Whatever is read, the result is TOML: what is damaged is left out, and what is in a value stays there.
    #[test]
    fn no_text_makes_a_reader_panic_or_write_what_is_no_toml(
        lines in prop::collection::vec(prop::sample::select(&LINES[..]), 0..20), noise in "\\PC{0,20}"
    ) {
        let text = format!("{}\n{noise}", lines.join("\n"));
        for read in [debian::read, openwrt::read, ggaoed::read] {
            let mut draft = Draft::default();
            read("old", &text, &mut draft);
            let surroundings = Surroundings { host: "host".into(), ethers: "/nonexistent".into(), ..Surroundings::ours() };
            let result = Config::parse(Path::new("f"), draft.to_string().into(), &surroundings);
            if let Err(mistakes) = result {
                prop_assert!(!mistakes.to_string().contains("not TOML"), "{}\n{}", draft, mistakes);
            }
        }
    }
}

const LINES: [&str; 26] = [
    "shelf=1",
    "slot=2",
    "netif=a",
    "filename='/a\"\\b'",
    "options='-b 9 -o 8'",
    "note='\u{7f}\u{1}'",
    "netif='a,b c'",
    "filename=\u{e9}",
    "config vblade",
    "config 'vblade' x",
    "option shelf 1",
    "option slot 2",
    "option netif '\"'",
    "option device '/\\'",
    "option 'x",
    "[defaults]",
    "[acls]",
    "[d]",
    "[\u{1}]",
    "path = /a\"b\\",
    "shelf = 1",
    "slot = 2",
    "interfaces = eth0, \"*",
    "accept = d, 02:00:00:00:00:01",
    "d = \"x\", d",
    "queue-length = 9",
];
