//! Files that change under a mapping, and SIGBUS of others.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use super::*;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
    file.write_all(bytes).unwrap();
    file
}

#[test]
fn what_is_written_is_read_and_is_in_the_file() {
    let file = file(&[7; 8192]);
    let mapped = Mapped::new(file.as_fd(), 8192, true).unwrap();
    assert!(mapped.write(4000, &[9; 200]));
    let mut data = [0; 8192];
    assert!(mapped.read(0, &mut data));
    assert!(data[..4000] == [7; 4000] && data[4000..4200] == [9; 200] && data[4200..] == [7; 3992]);
    let mut stored = [0; 8192];
    rustix::io::pread(&file, &mut stored, 0).unwrap();
    assert_eq!(stored, data);
}

#[test]
fn beyond_the_mapping_nothing_is_touched() {
    let mapped = Mapped::new(file(&[7; 4096]).as_fd(), 4096, true).unwrap();
    assert!(
        !mapped.read(4000, &mut [0; 97]) && !mapped.write(4096, &[1]) && !mapped.read(u64::MAX, &mut [0])
    );
    assert!(mapped.read(4096, &mut []));
}

#[test]
fn a_file_that_was_cut_short_ends_the_copy_and_not_the_process() {
    let file = file(&[7; 16384]);
    let mapped = Mapped::new(file.as_fd(), 16384, true).unwrap();
    // As if it was looked at just now, so that the copy faults.
    let fresh = || mapped.looked.store(milliseconds(), Ordering::Relaxed);
    file.set_len(5000).unwrap();
    let mut data = [1; 8192];
    fresh();
    assert!(!mapped.read(4096, &mut data) && !mapped.write(8192, &data) && !mapped.read(12288, &mut data));
}

#[test]
fn a_file_that_was_cut_within_a_page_is_not_used_any_more() {
    let file = file(&[7; 16384]);
    let mapped = Mapped::new(file.as_fd(), 16384, true).unwrap();
    assert!(mapped.read(0, &mut [0; 512]));
    file.set_len(5000).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert!(!mapped.read(6144, &mut [0; 512]) && !mapped.write(6144, &[1; 512]));
    assert!(!mapped.read(0, &mut [0; 512]), "whatever it is");
}

#[test]
fn holes_are_not_filled_by_reading_them() {
    let sparse = tempfile::tempfile_in("/dev/shm").unwrap();
    sparse.set_len(1 << 20).unwrap();
    let mapped = Mapped::new(sparse.as_fd(), 1 << 20, true).unwrap();
    assert!(!mapped.read(0, &mut [0; 4096]));
    assert_eq!(rustix::fs::fstat(&sparse).unwrap().st_blocks, 0);
    let full = Mapped::new(file(&[7; 8192]).as_fd(), 8192, true).unwrap();
    full.has_holes();
    assert!(!full.read(0, &mut [0; 512]) && full.write(0, &[1; 512]));
}

#[test]
fn what_is_mapped_for_reading_is_not_written() {
    let mapped = Mapped::new(file(&[7; 4096]).as_fd(), 4096, false).unwrap();
    assert!(!mapped.write(0, &[1]));
}

mod sigbus {
    use std::env;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    const CHILD: &str = "BDEV_SIGBUS";

    /// Runs `code` in a process of its own, the test called `name` once more; tells how it ended, and nothing in there.
    fn in_a_process(name: &str, code: impl FnOnce()) -> Option<ExitStatus> {
        if env::var(CHILD).is_ok_and(|child| child == name) {
            // SAFETY: takes a pointer to two integers. No core is left behind.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 }) };
            code();
            return None;
        }
        let path = format!("file::mapped::tests::sigbus::{name}");
        let mut child = Command::new(env::current_exe().unwrap());
        let output = child.args(["--exact", &path, "--nocapture"]).env(CHILD, name).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("running 1 test"), "{text}");
        Some(output.status)
    }

    /// A mapping of a file that was cut short, as if it was looked at just now: to touch its second half faults.
    fn cut_short() -> Mapped {
        let file = file(&[7; 8192]);
        let mapped = Mapped::new(file.as_fd(), 8192, true).unwrap();
        file.set_len(4096).unwrap();
        mapped.looked.store(milliseconds(), Ordering::Relaxed);
        mapped
    }

    /// Whether a copy that faults is ended, rather than the process.
    fn is_guarded() -> bool {
        !cut_short().read(4096, &mut [0; 512])
    }

    /// A page of somebody else's whose touch raises SIGBUS.
    fn foreign_page() -> *const u8 {
        let mapped = cut_short();
        let page = mapped.start.as_ptr().wrapping_add(4096);
        mem::forget(mapped);
        page
    }

    fn touch(page: *const u8) {
        // SAFETY: the page is mapped for good; that it faults is what the process is for.
        unsafe { page.read_volatile() };
    }

    fn send() {
        // SAFETY: takes integers only.
        unsafe { libc::kill(std::process::id().cast_signed(), libc::SIGBUS) };
    }

    fn before(action: usize, flags: libc::c_int) {
        // SAFETY: made of integers, addresses and an optional function: all zero is a valid value.
        let mut new: libc::sigaction = unsafe { mem::zeroed() };
        (new.sa_sigaction, new.sa_flags) = (action, flags);
        // SAFETY: the pointer is valid, and the address that of a handler of the kind that the flags say, or one of the constants.
        let result = unsafe { libc::sigaction(libc::SIGBUS, &raw const new, ptr::null_mut()) };
        assert_eq!(result, 0);
    }

    static PAGE: AtomicUsize = AtomicUsize::new(0);
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn tells_the_address(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        context: *mut libc::c_void,
    ) {
        // SAFETY: the kernel's, handed on.
        let info = unsafe { &*info };
        // SAFETY: a fault has an address.
        let at = unsafe { info.si_addr() }.addr();
        let right = signal == libc::SIGBUS && at == PAGE.load(Ordering::Relaxed) && !context.is_null();
        // SAFETY: takes an integer only.
        unsafe { libc::_exit(if right { 42 } else { 43 }) };
    }

    extern "C" fn tells_the_signal(signal: libc::c_int) {
        // SAFETY: takes an integer only.
        unsafe { libc::_exit(if signal == libc::SIGBUS { 41 } else { 43 }) };
    }

    extern "C" fn counts(_: libc::c_int) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_handler_that_was_there_first_gets_faults_from_elsewhere_with_all_that_is_known() {
        let ended = in_a_process(
            "a_handler_that_was_there_first_gets_faults_from_elsewhere_with_all_that_is_known",
            || {
                before(tells_the_address as extern "C" fn(_, _, _) as usize, libc::SA_SIGINFO);
                assert!(is_guarded());
                let page = foreign_page();
                PAGE.store(page.addr(), Ordering::Relaxed);
                touch(page);
            },
        );
        assert!(ended.is_none_or(|ended| ended.code() == Some(42)), "{ended:?}");
    }

    #[test]
    fn a_handler_of_the_old_kind_gets_the_signal() {
        let ended = in_a_process("a_handler_of_the_old_kind_gets_the_signal", || {
            before(tells_the_signal as extern "C" fn(_) as usize, 0);
            assert!(is_guarded());
            touch(foreign_page());
        });
        assert!(ended.is_none_or(|ended| ended.code() == Some(41)), "{ended:?}");
    }

    #[test]
    fn a_fault_from_elsewhere_ends_the_process() {
        let ended = in_a_process("a_fault_from_elsewhere_ends_the_process", || {
            before(libc::SIG_DFL, 0);
            assert!(is_guarded());
            touch(foreign_page());
        });
        assert!(ended.is_none_or(|ended| ended.signal() == Some(libc::SIGBUS)), "{ended:?}");
    }

    #[test]
    fn a_fault_from_elsewhere_ends_the_process_where_only_rusts_handler_was() {
        let name = "a_fault_from_elsewhere_ends_the_process_where_only_rusts_handler_was";
        let ended = in_a_process(name, || {
            assert!(is_guarded());
            touch(foreign_page());
        });
        assert!(ended.is_none_or(|ended| ended.signal() == Some(libc::SIGBUS)), "{ended:?}");
    }

    #[test]
    fn the_signal_itself_ends_the_process_where_nobody_handles_it() {
        let ended = in_a_process("the_signal_itself_ends_the_process_where_nobody_handles_it", || {
            before(libc::SIG_DFL, 0);
            assert!(is_guarded());
            send();
            thread::sleep(Duration::from_secs(20));
        });
        assert!(ended.is_none_or(|ended| ended.signal() == Some(libc::SIGBUS)), "{ended:?}");
    }

    #[test]
    fn the_signal_itself_ends_the_process_where_only_rusts_handler_was() {
        let ended = in_a_process("the_signal_itself_ends_the_process_where_only_rusts_handler_was", || {
            assert!(is_guarded());
            send();
            thread::sleep(Duration::from_secs(20));
        });
        assert!(ended.is_none_or(|ended| ended.signal() == Some(libc::SIGBUS)), "{ended:?}");
    }

    #[test]
    fn who_handles_the_signal_goes_on_and_copies_stay_guarded() {
        let ended = in_a_process("who_handles_the_signal_goes_on_and_copies_stay_guarded", || {
            before(counts as extern "C" fn(_) as usize, 0);
            assert!(is_guarded());
            for number in 1..=2 {
                send();
                // It may be another thread that gets it.
                assert!((0..20_000).any(|_| {
                    thread::sleep(Duration::from_millis(1));
                    CALLS.load(Ordering::Relaxed) == number
                }));
            }
            assert!(is_guarded());
        });
        assert!(ended.is_none_or(|ended| ended.success()), "{ended:?}");
    }

    #[test]
    fn a_signal_that_was_ignored_is_ignored() {
        let ended = in_a_process("a_signal_that_was_ignored_is_ignored", || {
            before(libc::SIG_IGN, 0);
            assert!(is_guarded());
            send();
            assert!(is_guarded());
        });
        assert!(ended.is_none_or(|ended| ended.success()), "{ended:?}");
    }

    #[test]
    fn a_thread_that_blocks_the_signal_and_maps_is_guarded() {
        let ended = in_a_process("a_thread_that_blocks_the_signal_and_maps_is_guarded", || {
            let block = || {
                // SAFETY: made of integers.
                let mut set: libc::sigset_t = unsafe { mem::zeroed() };
                // SAFETY: the pointer is valid for the set.
                unsafe { libc::sigaddset(&raw mut set, libc::SIGBUS) };
                // SAFETY: the pointer is valid for the set, which is read.
                unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
            };
            // The thread that maps the first file, and one that maps another later.
            block();
            assert!(is_guarded());
            thread::spawn(move || {
                block();
                assert!(is_guarded());
            })
            .join()
            .unwrap();
        });
        assert!(ended.is_none_or(|ended| ended.success()), "{ended:?}");
    }
}
