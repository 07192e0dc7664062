//! Exports that are right alone and wrong together.

use std::fs;
use std::path::Path;

use super::*;

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
