//! A disk that fails, is slow, has no room, or changes its size, under a real file system (conformance case 63, reference 5.2
//! rule 4).

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::disk::SECTORS;
use e2e::faulty::FaultyDisk;
use e2e::lab::PATIENCE;
use e2e::net::{TARGET, note};
use e2e::request::{Request, flush, identify, read, write};
use e2e::target::Target;
use e2e::{Lab, Reply, SECTOR, Setup, T, config, on_a_wire};
use rustix::process::Signal;

const BYTES: usize = SECTORS as usize * SECTOR;
/// All ways of keeping what is written.
const CACHES: [&str; 4] = ["writethrough", "writeback", "none", "directsync"];

/// Another export on the same interface, e7.4, of a disk of zeros that is well.
#[track_caller]
fn neighbour(lab: &mut Lab) -> Target {
    let dir = directory(lab, "neighbour");
    let disk = holes(&dir.join("disk"));
    let words = ["7", "4", TARGET, &disk.display().to_string()].map(str::to_owned);
    let mut target = Target::spawn(&dir, &[], &words);
    target.wait_until_serving();
    lab.await_advertisement(PATIENCE);
    target
}

/// The neighbour answers this well, and next.
#[track_caller]
fn neighbour_does(lab: &mut Lab, request: Request) {
    let request = request.at(7, 4).bytes();
    lab.client.send(&request);
    let frame = lab.next(PATIENCE).expect("an answer of the neighbour");
    Reply::checked_at(&request, &frame, T, [0, 7, 4]).good();
}

fn directory(lab: &Lab, name: &str) -> PathBuf {
    let dir = lab.dir.path().join(name);
    fs::create_dir(&dir).expect("a new directory");
    dir
}

/// A new file of zeros, none of them allocated.
fn holes(path: &Path) -> PathBuf {
    File::create(path).and_then(|file| file.set_len(BYTES as u64)).expect("a sparse file");
    path.to_owned()
}

/// A new file of zeros, all of it allocated and on the disk.
fn allocated(path: &Path) -> PathBuf {
    let file = File::create(path).expect("a file");
    file.write_all_at(&vec![0; BYTES], 0).and_then(|()| file.sync_all()).expect("room for it");
    path.to_owned()
}

#[test]
fn case_63_a_disk_that_fails_for_a_while_gives_its_errors_and_serves_again() {
    for cache in CACHES {
        println!("--- {cache}");
        Setup::default().options(&["--cache", cache]).run(|lab| {
            let whole = lab.disk.path().to_owned();
            let Some(disk) = FaultyDisk::start(&lab.net, lab.dir.path(), "fuse", BYTES, Duration::ZERO)
            else {
                return;
            };
            lab.export(disk.path());
            let _neighbour = neighbour(lab);
            lab.ask(&write(8, &[0xa5; 2 * SECTOR])).good();
            lab.ask(&read(8, 2)).good().with_data(&[0xa5; 2 * SECTOR]);
            disk.fail();
            for n in 0..20 {
                // Of pages that no cache has.
                lab.ask(&read(1000 + 100 * n, 2)).failed(0x40, 2);
                lab.ask(&write(8, &[n as u8; 2 * SECTOR])).failed(0x04, 2);
                neighbour_does(lab, write(5, &[5; SECTOR]));
                neighbour_does(lab, read(5, 1));
            }
            lab.ask(&config(0, b"")).good();
            lab.ask(&identify()).good();
            disk.recover();
            for n in 0..20 {
                lab.ask(&read(1000 + 100 * n, 2)).good().with_data(&[0; 2 * SECTOR]);
                lab.ask(&write(1000 + 100 * n, &[0x5a; 2 * SECTOR])).good();
                lab.ask(&read(1000 + 100 * n, 2)).good().with_data(&[0x5a; 2 * SECTOR]);
            }
            lab.ask(&flush()).good();
            lab.export(&whole);
        });
    }
}

#[test]
fn a_slow_disk_holds_up_its_own_requests_and_nothing_else() {
    on_a_wire(|lab| {
        // More than FUSE takes before it makes its callers wait (12).
        let (whole, slow, reads) = (lab.disk.path().to_owned(), Duration::from_millis(100), 32);
        let Some(disk) = FaultyDisk::start(&lab.net, lab.dir.path(), "fuse", BYTES, slow) else { return };
        lab.export(disk.path());
        let _neighbour = neighbour(lab);
        disk.hold();
        (0..reads).for_each(|n| lab.client.send(&read(1000 + 300 * n, 1).bytes()));
        // Answered next, so before all of those.
        for _ in 0..10 {
            lab.ask(&config(0, b"")).good();
            lab.ask(&identify()).good();
            neighbour_does(lab, read(5, 1));
        }
        disk.release();
        for _ in 0..reads {
            let reply = lab.next(PATIENCE).expect("an answer of the slow disk");
            assert_eq!((reply[18], reply[19], reply[27]), (3, 0, 0x40));
        }
        lab.export(&whole);
    });
}

#[test]
fn data_that_a_failed_flush_lost_fails_every_flush_until_the_disk_is_opened_anew() {
    for cache in ["writeback", "writethrough"] {
        println!("--- {cache}");
        Setup::default().options(&["--cache", cache]).run(|lab| {
            let whole = lab.disk.path().to_owned();
            let Some(medium) = FaultyDisk::start(&lab.net, lab.dir.path(), "fuse", 4 * BYTES, Duration::ZERO)
            else {
                return;
            };
            let files = directory(lab, "ext4");
            let Some(_mount) = lab.net.mount_ext4(medium.path(), &files) else { return };
            let path = allocated(&files.join("disk"));
            lab.export(&path);
            lab.ask(&write(8, &[1; SECTOR])).good();
            lab.ask(&flush()).good();

            medium.fail();
            let reply = lab.ask(&write(8, &[2; SECTOR]));
            if cache == "writeback" {
                // The page cache has it, and that is all this mode promises.
                reply.good();
                lab.ask(&flush()).failed(0x04, 0);
            } else {
                reply.failed(0x04, 1);
            }
            medium.recover();
            // The kernel has told of the loss once and would not again: its next sync succeeds.
            File::open(&path).and_then(|file| file.sync_all()).expect("a kernel that forgets");
            for _ in 0..5 {
                lab.ask(&flush()).failed(0x04, 0);
            }
            lab.ask(&read(16, 1)).good().with_data(&[0; SECTOR]);
            lab.ask(&identify()).good();

            // Its last words: what it could not make durable.
            lab.target.signal(Signal::TERM);
            assert_eq!(lab.target.wait().code(), Some(1), "it claims a good end");
            assert!(lab.target.stderr().contains("may be lost"), "{}", lab.target.stderr());
            lab.begin(&path);
            lab.ask(&write(8, &[3; SECTOR])).good();
            lab.ask(&flush()).good();
            lab.ask(&read(8, 1)).good().with_data(&[3; SECTOR]);
            lab.export(&whole);
        });
    }
}

#[test]
fn case_63_a_sparse_disk_on_a_full_file_system_of_a_block_device_fails_writes_until_there_is_room() {
    for cache in CACHES {
        println!("--- {cache}");
        Setup::default().options(&["--cache", cache]).run(|lab| {
            let whole = lab.disk.path().to_owned();
            let medium = lab.dir.path().join("medium");
            File::create(&medium).and_then(|file| file.set_len(4 << 20)).expect("a small medium");
            let files = directory(lab, "ext4");
            let Some(_mount) = lab.net.mount_ext4(&medium, &files) else { return };
            let ballast = files.join("ballast");
            fs::write(&ballast, vec![0xee; 512 << 10]).expect("room for it");
            let path = holes(&files.join("disk"));
            lab.export(&path);

            let page = |n: u64| write(8 * n, &[n as u8; 2 * SECTOR]);
            let pages = 0..1024;
            let full: Vec<u64> = pages.filter(|&n| lab.ask(&page(n)).bytes()[27] != 0x40).collect();
            assert!(full.len() > 100, "{} of 1024 pages found no room", full.len());
            lab.ask(&page(full[0])).failed(0x04, 2);
            for n in [full[0], full[1], *full.last().expect("refused pages")] {
                lab.ask(&read(8 * n, 2)).good().with_data(&[0; 2 * SECTOR]);
            }
            let stored: Vec<u64> = (1..1024).filter(|n| !full.contains(n)).collect();
            for &n in &stored {
                lab.ask(&read(8 * n, 2)).good().with_data(&[n as u8; 2 * SECTOR]);
            }
            // What is allocated can be written again.
            lab.ask(&write(8 * stored[0], &[0xaa; 2 * SECTOR])).good();
            lab.ask(&flush()).good();

            fs::remove_file(&ballast).expect("the ballast");
            lab.ask(&page(full[0])).good();
            lab.ask(&read(8 * full[0], 2)).good().with_data(&[full[0] as u8; 2 * SECTOR]);
            lab.ask(&flush()).good();
            note(&format!("{cache}: {} pages stored, {} refused for want of room", stored.len(), full.len()));
            lab.export(&whole);
        });
    }
}

#[test]
fn a_file_that_shrinks_and_grows_under_the_target_is_served_as_it_is() {
    for (cache, in_memory) in [("writethrough", false), ("directsync", false), ("writeback", true)] {
        println!("--- {cache}, in memory: {in_memory}");
        Setup::default().options(&["--cache", cache]).run(|lab| {
            let whole = lab.disk.path().to_owned();
            let files = directory(lab, "files");
            let mount = if in_memory {
                lab.net.mount_tmpfs(&files, 4 * BYTES)
            } else {
                let medium = holes(&lab.dir.path().join("medium"));
                File::options()
                    .write(true)
                    .open(&medium)
                    .and_then(|file| file.set_len(4 * BYTES as u64))
                    .expect("a medium");
                lab.net.mount_ext4(&medium, &files)
            };
            let Some(_mount) = mount else { return };
            let path = allocated(&files.join("disk"));
            lab.export(&path);
            let resize = |sectors: u64| {
                let file = File::options().write(true).open(&path).expect("the disk");
                file.set_len(sectors * SECTOR as u64).expect("another size");
            };
            let half = SECTORS / 2;
            for round in 1..=20 {
                let marks = [[round; SECTOR], [round + 100; SECTOR]];
                lab.ask(&write(half - 1, &marks[0])).good();
                lab.ask(&write(half + 64, &marks[1])).good();
                resize(half);
                lab.ask(&read(half - 1, 1)).good().with_data(&marks[0]);
                lab.ask(&read(half - 1, 2)).failed(0x40, 2);
                lab.ask(&read(half + 64, 1)).failed(0x40, 1);
                resize(SECTORS);
                lab.ask(&read(half - 1, 2)).good().with_data(&[marks[0], [0; SECTOR]].concat());
                lab.ask(&read(half + 64, 1)).good().with_data(&[0; SECTOR]);
            }
            // Told of another size, it serves and says that one.
            for sectors in [half, 2 * SECTORS] {
                resize(sectors);
                lab.target.signal(Signal::HUP);
                lab.await_advertisement(PATIENCE);
                let told = lab.ask(&identify()).good().bytes()[36 + 200..36 + 208].to_vec();
                assert_eq!(told, sectors.to_le_bytes());
                lab.ask(&write(sectors - 1, &[7; SECTOR])).good();
                lab.ask(&read(sectors - 1, 1)).good().with_data(&[7; SECTOR]);
                lab.ask(&read(sectors, 1)).failed(0x10, 1);
            }
            lab.export(&whole);
        });
    }
}
