//! A target whose disk is itself reached over AoE: `vblade` beside `vblade`, two hops for `aoe`.

use std::time::Duration;

use e2e::mac;
use e2e::net::note;
use e2e::stage::{Kind, Stage, assert_equal, empty};
use e2e::target::Target;
use e2e::tool::Tool;

const SECTORS: usize = 8192;

/// `e7.3` serves the file on the far cable, `e8.0` serves `e7.3` on the near one.
fn with_two_hops(mtu: u32, kind: Kind, test: impl FnOnce(&Stage, Target, Target)) {
    println!("--- {kind:?}, MTU {mtu}");
    let Some(stage) = empty() else { return };
    stage.net.connect(mtu);
    stage.net.cable(mtu, ("far0", mac(0xf0)), ("far1", mac(0xf1)));
    let disk = stage.random("disk", SECTORS);
    let Some(far) = stage.serve_as(kind, "", "7 3 far1", &disk) else { return };
    let Some(near) = stage.serve_as(Kind::Ours, "", "8 0 tgt0", "aoe:e7.3@far0".as_ref()) else { return };
    test(&stage, far, near);
}

#[test]
fn a_disk_behind_two_hops_is_copied_both_ways_and_flushed() {
    for (mtu, kind) in [(1500, Kind::Ours), (9000, Kind::Ours), (9000, Kind::Classic)] {
        with_two_hops(mtu, kind, |stage, mut far, mut near| {
            Tool::new("discover").run().good().prints(&["e8.0"]);
            Tool::new("copy --verify e8.0").arg(stage.path("out")).run().good();
            assert_equal(&stage.path("disk"), &stage.path("out"));
            let image = stage.random("image", SECTORS);
            let copied = Tool::new("copy --verify").arg(&image).arg("e8.0").run();
            // Debian's target cannot flush.
            copied.exits_with(if kind == Kind::Ours { &[0] } else { &[0, 1] });
            assert_equal(&stage.path("disk"), &image);
            let bench = Tool::new("bench e8.0 --duration 0.5 --random --json").run().good().json();
            note(&format!("two hops, far {kind:?}, MTU {mtu}: {} replies/s", bench["replies_per_second"]));
            far.assert_alive();
            near.stop();
        });
    }
}

#[test]
fn a_far_target_that_goes_and_comes_back_is_waited_for() {
    with_two_hops(1500, Kind::Ours, |stage, mut far, mut near| {
        far.kill();
        let read = Tool::new("copy e8.0").arg(stage.path("out")).within(60).spawn();
        std::thread::sleep(Duration::from_millis(1000));
        let Some(mut far) = stage.serve_as(Kind::Ours, "", "7 3 far1", &stage.path("disk")) else { return };
        read.wait().good();
        assert_equal(&stage.path("disk"), &stage.path("out"));
        near.stop();
        far.stop();
    });
}

#[test]
fn a_far_target_that_is_not_there_is_refused_at_the_start() {
    let Some(stage) = empty() else { return };
    stage.net.connect(1500);
    stage.net.cable(1500, ("far0", mac(0xf0)), ("far1", mac(0xf1)));
    let words = ["8", "0", "tgt0", "aoe:e7.3@far0"].map(ToOwned::to_owned);
    let mut near = Target::spawn(&stage.path(""), &[], &words);
    let status = near.wait_at_most(Duration::from_secs(45));
    assert!(!status.success());
    assert!(near.stderr().contains("e7.3"), "{}", near.stderr());
}
