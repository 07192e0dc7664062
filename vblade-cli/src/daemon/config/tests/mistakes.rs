//! What is said of a file in which something is wrong.

use super::*;

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
