//! One disk on several interfaces: what is refused, and what goes on when one of them is lost.

#[expect(dead_code, reason = "each test binary uses its part")]
mod scene;

use std::fs;
use std::process::Output;

use scene::{Scene, wrote_one_line};

/// Two pairs of interfaces, near0 to far0 and near1 to far1.
const PAIRS: &str = "
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 2>/dev/null || :
    for n in 0 1; do
        ip link add near$n type veth peer name far$n
        ip link set near$n up
        ip link set far$n up
    done
    ";

/// A `vblade` in the background that has said its first line.
fn serving(arguments: &str) -> String {
    format!(
        "\"$VBLADE\" {arguments} >out 2>err &
        served=$!
        trap 'kill $served; wait $served' EXIT
        tries=0
        until [ -s out ]; do tries=$((tries + 1)); [ $tries -lt 500 ]; sleep 0.02; done
        "
    )
}

/// Runs a script in a namespace with [`PAIRS`]; it must end well.
fn succeeds(scene: &Scene, script: &str) -> Option<Output> {
    let output = scene.in_namespace(&format!("{PAIRS}{script}"))?;
    let log = fs::read_to_string(scene.path("err")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{output:?}\n{log}");
    Some(output)
}

fn text(scene: &Scene, name: &str) -> String {
    fs::read_to_string(scene.path(name)).expect("a text")
}

#[test]
fn a_disk_is_the_same_on_every_interface_of_the_list() {
    let scene = Scene::new();
    let script = serving("7 3 near0,near1 disk.img")
        + "printf %4096s new >new
        \"$AOE\" -i far0 write e7.3 new --offset 8
        \"$AOE\" -i far1 read e7.3 far1.img
        \"$AOE\" -i far0 read e7.3 far0.img
        \"$AOE\" -i far0 -i far1 discover >found
        cmp far0.img far1.img
        cmp far0.img disk.img";
    let Some(_) = succeeds(&scene, &script) else { return };
    let disk = fs::read(scene.path("disk.img")).expect("a disk");
    assert_eq!((&disk[..4096], &disk[8189..]), (&[0x5a; 4096][..], &b"new"[..]));
    let line = text(&scene, "out");
    assert!(line.starts_with("pid ") && line.ends_with(": e7.3, 16 sectors O_RDWR\n"), "{line}");
    assert_eq!(line.lines().count(), 1);
    let (log, found) = (text(&scene, "err"), text(&scene, "found"));
    assert!(
        log.contains("netif=\"near0,near1\"") && log.contains("link=\"near0 ") && log.contains("; near1 "),
        "{log}"
    );
    assert!(found.contains("far0") && found.contains("far1"), "{found}");
}

#[test]
fn an_interface_that_is_lost_does_not_stop_the_others_and_serves_again_when_it_comes_back() {
    let scene = Scene::new();
    let script = serving("7 3 near0,near1 disk.img")
        + "ip link del near0
        \"$AOE\" -i far1 read e7.3 while.img
        cmp while.img disk.img
        kill -0 $served
        ip link add near0 type veth peer name far0
        ip link set near0 up
        ip link set far0 up
        \"$AOE\" -i far0 read e7.3 back.img
        cmp back.img disk.img
        ip link set near1 down
        \"$AOE\" -i far0 read e7.3 again.img
        kill -0 $served";
    let Some(_) = succeeds(&scene, &script) else { return };
    assert!(text(&scene, "err").contains("interface=\"near0\""), "{}", text(&scene, "err"));
}

#[test]
fn interfaces_of_one_segment_do_not_take_each_other_for_another_station() {
    let scene = Scene::new();
    let script = "ip link add bridge type bridge
        ip link set bridge up
        ip link set far0 master bridge
        ip link set far1 master bridge
        "
    .to_owned()
        + &serving("7 3 near0,near1 disk.img")
        + "ip link add host type veth peer name port
        ip link set port master bridge up
        ip link set host up
        \"$AOE\" -i host read e7.3 read.img
        cmp read.img disk.img
        ip link set near0 down
        ip link set near0 up
        sleep 0.2";
    let Some(_) = succeeds(&scene, &script) else { return };
    let log = text(&scene, "err");
    assert!(!log.contains("ANOTHER STATION"), "{log}");
}

/// What a `vblade` says that is refused in a namespace with [`PAIRS`], prepared by `setup`.
fn refused(setup: &str, netifs: &str, why: &str) {
    let scene = Scene::new();
    let Some(output) = scene.in_namespace(&format!("{PAIRS}{setup}\n\"$VBLADE\" 7 3 {netifs} disk.img"))
    else {
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    wrote_one_line(&output, why);
    scene.assert_untouched();
}

#[test]
fn an_interface_that_is_missing_among_others_is_refused() {
    refused("", "near0,nosuchif0,near1", "interface \"nosuchif0\" does not exist");
}

#[test]
fn an_interface_that_is_named_twice_or_not_at_all_is_refused() {
    refused("", "near0,near1,near0", "\"near0\" is named twice");
    refused("", "near0,", "an interface without a name");
}

#[test]
fn an_address_that_a_station_has_on_any_of_the_interfaces_is_refused() {
    let other = serving("-r 7 3 far1 other.img");
    refused(&other, "near0,near1", "e7.3 already answers at ");
}

#[test]
fn an_address_that_a_process_here_serves_on_any_of_the_interfaces_is_refused() {
    let other = serving("-r 7 3 far0,near1 other.img");
    refused(&other, "near0,near1", "e7.3 is already served on near1 by another process here");
}
