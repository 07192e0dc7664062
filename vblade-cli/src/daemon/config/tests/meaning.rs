//! What is said in a file that is right.

use std::fs;
use std::path::Path;

use aoe_target::{Address, Identity, MacAddr};

use super::*;
use crate::cli::{Cache, LinkKind};
use crate::daemon::config::{Daemon, Pattern, Source};
use crate::stack::DEPTH;

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
fn initiators_may_be_named_as_in_ethers() {
    let (dir, ethers) = dir(&[("vblade.toml", b"02:00:00:00:00:09 web9\n")]);
    let text = format!("{DISK}allow = ['web9']\n");
    let config = Config::parse(Path::new("f"), text.into(), &surroundings(&ethers)).expect("a name");
    assert_eq!(config.exports[0].target.allow, [MacAddr([2, 0, 0, 0, 0, 9])]);
    drop(dir);
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
