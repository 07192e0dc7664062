//! Conformance case 63: a disk that fails.

use std::fs::File;

use e2e::disk::SECTORS;
use e2e::request::{flush, read, write};
use e2e::{Lab, SECTOR, Setup, on_a_wire};

/// Lines of the target's log about a failure at this LBA.
fn complaints(lab: &Lab, lba: u64) -> usize {
    let lba = lba.to_string();
    let names_it = |line: &&str| line.split(|c: char| !c.is_ascii_digit()).any(|number| number == lba);
    lab.target.stderr().lines().filter(names_it).count()
}

#[test]
fn case_63_a_read_the_disk_cannot_serve_fails_with_unc_and_no_data() {
    on_a_wire(|lab| {
        // The target knows 16,384 sectors; from 100 on they are gone.
        let file = File::options().write(true).open(lab.disk.path()).expect("the disk");
        file.set_len(100 * SECTOR as u64).expect("truncation");
        lab.ask(&read(99, 2)).failed(0x40, 2);
        assert_eq!(complaints(lab, 99) + complaints(lab, 100), 1, "complaints in: {}", lab.target.stderr());
        for _ in 0..1000 {
            lab.ask(&read(99, 2)).failed(0x40, 2);
        }
        assert!(complaints(lab, 99) < 50, "{} complaints about the same LBA", complaints(lab, 99));
        lab.ask(&read(100, 1)).failed(0x40, 1);
        lab.read(99, 1);
        lab.write(98, &[0x98; SECTOR]);
        lab.disk.accept();
        assert_eq!(lab.disk.sectors(98, 1), [0x98; SECTOR]);
    });
}

#[test]
fn case_63_a_write_the_disk_refuses_fails_with_abrt_and_the_rest_is_served() {
    // The kernel lets this process write no file beyond its first 100 sectors.
    let limit = format!("--fsize={}", 100 * SECTOR);
    Setup::default().wrapper(&["env", "--ignore-signal=XFSZ", "prlimit", &limit]).run(|lab| {
        lab.ask(&write(100, &[1; SECTOR])).failed(0x04, 1);
        assert_eq!(complaints(lab, 100), 1, "complaints in: {}", lab.target.stderr());
        for _ in 0..1000 {
            lab.ask(&write(100, &[1; SECTOR])).failed(0x04, 1);
        }
        assert!(complaints(lab, 100) < 50, "{} complaints about the same LBA", complaints(lab, 100));
        lab.ask(&write(SECTORS - 2, &[1; 2 * SECTOR])).failed(0x04, 2);
        lab.disk.verify();
        lab.write(99, &[2; SECTOR]);
        lab.read(99, 2);
        lab.ask(&flush()).good();
    });
}

#[test]
fn case_63_a_full_file_system_fails_writes_and_nothing_else() {
    on_a_wire(|lab| {
        let full = lab.dir.path().join("full");
        std::fs::create_dir(&full).expect("a mount point");
        // Room for 16 pages; the disk has far more, all of them holes.
        let Some(_mount) = lab.net.mount_tmpfs(&full, 16 * 4096) else { return };
        let path = full.join("disk");
        File::create(&path).and_then(|file| file.set_len(SECTORS * SECTOR as u64)).expect("a sparse disk");
        lab.export(&path);

        let refused: Vec<u64> = (0..24).map(|page| page * 8).filter(|lba| !stores(lab, *lba)).collect();
        assert!((8..24).contains(&refused.len()), "out of 24 writes these were refused: {refused:?}");
        assert_eq!(complaints(lab, refused[0]), 1, "complaints in: {}", lab.target.stderr());
        for lba in (0..24).map(|page| page * 8) {
            let want = if refused.contains(&lba) { [0; SECTOR] } else { [0xf1; SECTOR] };
            lab.ask(&read(lba, 1)).good().with_data(&want);
        }
        lab.ask(&read(1000, 2)).good().with_data(&[0; 2 * SECTOR]);
        lab.ask(&flush()).good();
    });
}

fn stores(lab: &mut Lab, lba: u64) -> bool {
    let reply = lab.ask(&write(lba, &[0xf1; SECTOR]));
    if reply.bytes()[27] == 0x40 {
        reply.good();
        return true;
    }
    reply.failed(0x04, 1);
    false
}
