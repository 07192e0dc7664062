//! `aoe sancheck`: which frame sizes pass, on each path, and what to change.

mod probe;
mod report;

use std::time::Duration;

use aoe_initiator::{Control, Link, RemoteId};
use aoe_wire::max_sectors_fitting;

use self::probe::{Direction, Way, search};
use self::report::{Judged, PathReport};
use crate::cli::{Global, SancheckArgs};
use crate::error::Error;
use crate::host::{CONTROL_TIMEOUT, Host, target};
use crate::output;
use crate::text::table;

/// Sectors of a target that advertises none (AoEr11 §3.2).
const DEFAULT_SECTORS: u8 = 2;

/// How long a target on whose path nothing passed has to show that it is alive.
const LAST_LOOK: Duration = Duration::from_secs(3);

pub(crate) fn run(args: &SancheckArgs, global: &Global) -> Result<(), Error> {
    let address = target(&args.target)?;
    let mut host = Host::open(global, &[])?;
    let deadline = host.timeout(CONTROL_TIMEOUT);
    let remote = host.attach(address, aoe_initiator::AttachOptions { deadline, ..Default::default() })?;
    let reports = check(&mut host, remote)?;

    let judged = reports.iter().map(|path| Judged { path, ok: path.is_ok(), advice: path.advice() });
    let judged: Vec<Judged<'_>> = judged.collect();
    if args.json {
        output::json(&judged)?;
    } else {
        output::print(&text(&judged))?;
    }
    if judged.iter().all(|path| path.ok) { Ok(()) } else { Err(Error::Told) }
}

/// Tries every path by which the target has answered.
fn check<L: Link>(host: &mut Host<L>, remote: RemoteId) -> Result<Vec<PathReport>, Error> {
    let paths: Vec<_> =
        host.driver.remote(remote).into_iter().flat_map(|remote| remote.paths().cloned()).collect();
    // A disk that is smaller than a frame limits the reads.
    let disk =
        host.driver.remote(remote).and_then(aoe_initiator::Remote::disk).map_or(0, |disk| disk.sectors);
    let disk = u8::try_from(disk).unwrap_or(u8::MAX);
    let mut reports = Vec::new();
    for path in paths {
        let Some(mtu) = host.driver.link(path.link).map(|link| link.info().mtu) else { continue };
        let advertised =
            if path.config.sector_count == 0 { DEFAULT_SECTORS } else { path.config.sector_count };
        let mut report = PathReport {
            netif: host.netif(path.link).to_owned(),
            mac: path.mac.to_string(),
            mtu,
            carried: max_sectors_fitting(usize::try_from(mtu).unwrap_or(usize::MAX)),
            advertised: advertised.min(disk),
            replies: 0,
            requests: 0,
            refused: None,
            answers: true,
        };
        let way = Way { remote, link: path.link, mac: path.mac };
        let most = report.claimed();
        let (driver, stop) = host.parts();
        let use_link = |passed: std::io::Result<Option<_>>| {
            passed.map_err(Error::system("use the interface"))?.ok_or(Error::Interrupted)
        };
        let replies = use_link(search(driver, way, Direction::Replies, most, &stop))?;
        let requests = use_link(search(driver, way, Direction::Requests, most, &stop))?;
        drop(stop);
        report.replies = replies.sectors;
        report.requests = requests.sectors;
        report.refused = replies.refused.or(requests.refused);
        if report.is_silent() {
            let patience = host.timeout(CONTROL_TIMEOUT).min(LAST_LOOK);
            let request =
                host.driver.control_by(remote, path.link, path.mac, Control::query(), Some(patience));
            report.answers = host.answer(request)?.is_ok();
        }
        reports.push(report);
    }
    Ok(reports)
}

fn text(paths: &[Judged<'_>]) -> String {
    let head = ["netif", "target", "MTU", "carries", "offered", "replies", "requests", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for Judged { path, ok, .. } in paths {
        let passed = |sectors: u8| match sectors {
            0 => "none".to_owned(),
            sectors => format!("{sectors} ({} B)", report::frame_len(sectors)),
        };
        rows.push(vec![
            path.netif.clone(),
            path.mac.clone(),
            path.mtu.to_string(),
            path.carried.to_string(),
            path.advertised.to_string(),
            passed(path.replies),
            passed(path.requests),
            if *ok { "ok" } else { "BAD" }.to_owned(),
        ]);
    }
    let mut text = table(&rows);
    for Judged { path, advice, .. } in paths {
        for sentence in advice {
            text.push_str(&format!("{}, {}: {sentence}\n", path.netif, path.mac));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use aoe_link::{LinkInfo, MemLink};
    use bdev::{Inline, MemDisk};
    use bytes::BytesMut;

    use super::*;
    use crate::scene::{NEVER, Scene};

    /// A wire that loses frames longer than `rx` on their way to here, and `tx` on their way from here.
    struct Narrow {
        link: MemLink,
        rx: usize,
        tx: usize,
    }

    impl Link for Narrow {
        type Frame = BytesMut;
        fn info(&self) -> LinkInfo {
            self.link.info()
        }
        fn alloc(&mut self) -> Option<BytesMut> {
            self.link.alloc()
        }
        fn recycle(&mut self, frame: BytesMut) {
            self.link.recycle(frame);
        }
        fn recv(&mut self, rx: &mut Vec<BytesMut>) -> io::Result<()> {
            self.link.recv(rx)?;
            rx.retain(|frame| frame.len() <= self.rx);
            Ok(())
        }
        fn send(&mut self, tx: &mut VecDeque<BytesMut>) -> io::Result<()> {
            tx.retain(|frame| frame.len() <= self.tx);
            self.link.send(tx)
        }
    }

    /// Sectors that pass in replies and in requests.
    fn passed(rx: usize, tx: usize) -> [u8; 2] {
        let disk = Arc::new(Inline::new(MemDisk::new(64)));
        let mut scene = Scene::through(&disk, 9000, |link| Narrow { link, rx, tx });
        let path = scene
            .driver
            .remote(scene.remote)
            .and_then(|remote| remote.paths().next().cloned())
            .expect("a path");
        let way = Way { remote: scene.remote, link: path.link, mac: path.mac };
        let start = Instant::now();
        let found = [Direction::Replies, Direction::Requests].map(|direction| {
            let passed =
                search(&mut scene.driver, way, direction, 17, NEVER).expect("a link").expect("no interrupt");
            assert_eq!(passed.refused, None);
            passed.sectors
        });
        assert!(start.elapsed() < Duration::from_secs(30));
        found
    }

    #[test]
    fn on_a_wire_that_carries_all_everything_passes() {
        assert_eq!(passed(9014, 9014), [17, 17]);
    }

    #[test]
    fn what_is_lost_by_its_length_is_found_in_each_direction() {
        assert_eq!(passed(1514, 9014), [2, 17]);
        assert_eq!(passed(9014, 36 + 5 * 512), [17, 5]);
    }

    #[test]
    fn an_interrupt_ends_the_search() {
        let mut scene = Scene::new(&Arc::new(Inline::new(MemDisk::new(64))), 9000);
        let path = scene
            .driver
            .remote(scene.remote)
            .and_then(|remote| remote.paths().next().cloned())
            .expect("a path");
        let way = Way { remote: scene.remote, link: path.link, mac: path.mac };
        assert_eq!(search(&mut scene.driver, way, Direction::Replies, 17, &|| true).expect("a link"), None);
    }

    #[test]
    fn each_path_has_a_line_and_its_advice_below() {
        let path = PathReport {
            netif: "eth0".to_owned(),
            mac: "02:00:00:00:07:03".to_owned(),
            mtu: 9000,
            carried: 17,
            advertised: 17,
            replies: 2,
            requests: 17,
            refused: None,
            answers: true,
        };
        let text = text(&[Judged { path: &path, ok: false, advice: path.advice() }]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].contains("2 (1060 B)") && lines[1].ends_with("17 (8740 B)  BAD"), "{text}");
        assert!(
            lines[2].starts_with("eth0, 02:00:00:00:07:03: replies longer than 1060 bytes are lost"),
            "{text}"
        );
    }
}
