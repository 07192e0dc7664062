//! What a test receives: a cable, a target with a disk at one end, an initiator at the other.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client::Client;
use crate::disk::Disk;
use crate::net::{CLIENT, Net, TARGET};
use crate::reply::{Reply, start};
use crate::request::{self, Mac, Request, S, T};
use crate::target::Target;

/// How long a reply may take. Much longer than it ever does, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long to look for frames that should not be there, once everything sent has been answered.
const STRAY: Duration = Duration::from_millis(20);

/// Runs a test with the usual setting: target e7.3, 16,384 sectors that all differ, MTU 1500, nothing configured.
#[track_caller]
pub fn on_a_wire(test: impl FnOnce(&mut Lab)) {
    Setup::default().run(test);
}

/// The setting of a test.
#[derive(Debug, Clone)]
pub struct Setup {
    mtu: u32,
    options: Vec<String>,
    wrapper: Vec<String>,
    image: Option<Vec<u8>>,
    address: (u16, u8),
    macs: (Mac, Mac),
}

impl Default for Setup {
    /// `$E2E_LINK` says by which link the target is to serve where a test does not.
    fn default() -> Self {
        let link = std::env::var("E2E_LINK").map(|kind| vec!["--link".to_owned(), kind]);
        Self {
            mtu: 1500,
            options: link.unwrap_or_default(),
            wrapper: Vec::new(),
            image: None,
            address: (7, 3),
            macs: (T, S),
        }
    }
}

impl Setup {
    /// Another MTU at both ends of the cable.
    #[must_use]
    pub fn mtu(self, mtu: u32) -> Self {
        Self { mtu, ..self }
    }

    /// Options of `vblade`.
    #[must_use]
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&word| word.to_owned()));
        self
    }

    /// A command that runs `vblade`, whose command line follows. It must become `vblade` by exec.
    #[must_use]
    pub fn wrapper(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Other contents of the disk.
    #[must_use]
    pub fn image(self, image: Vec<u8>) -> Self {
        Self { image: Some(image), ..self }
    }

    /// Another shelf and slot.
    #[must_use]
    pub fn address(self, shelf: u16, slot: u8) -> Self {
        Self { address: (shelf, slot), ..self }
    }

    /// Other Ethernet addresses of target and initiator.
    #[must_use]
    pub fn macs(self, target: Mac, client: Mac) -> Self {
        Self { macs: (target, client), ..self }
    }

    /// Runs the test in this setting. Afterwards the target must be alive, nothing unasked may have arrived, and the
    /// disk must contain what the test says it does.
    #[track_caller]
    pub fn run(self, test: impl FnOnce(&mut Lab)) {
        let Some(net) = Net::enter() else { return };
        net.connect_as(self.mtu, self.macs.0, self.macs.1);
        let mut lab = Lab::start(net, self);
        test(&mut lab);
        lab.settle();
        // Whatever it says, it comes after all that the target still had to write.
        let _ = lab.ask(&lab.address(request::flush()));
        if let Some(frame) = lab.client.receive(STRAY) {
            panic!("the target sends what nobody asked for: {}", start(&frame));
        }
        lab.target.assert_alive();
        lab.disk.verify();
    }
}

/// The parts.
#[derive(Debug)]
pub struct Lab {
    /// The target's process.
    pub target: Target,
    /// The initiator's socket.
    pub client: Client,
    /// The target's disk.
    pub disk: Disk,
    /// The namespace all of it is in.
    pub net: Net,
    /// All frames the target sent before the test began, up to and including its first advertisement.
    pub opening: Vec<Vec<u8>>,
    /// Where the target keeps its state and output.
    pub dir: TempDir,
    setup: Setup,
}

impl Lab {
    #[track_caller]
    fn start(net: Net, setup: Setup) -> Self {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("disk");
        let disk = match setup.image.clone() {
            Some(image) => Disk::create(&path, image),
            None => Disk::patterned(&path),
        };
        let client = Client::open(CLIENT).expect("a raw socket");
        let target = setup.spawn(&dir, disk.path());
        let mut lab = Self { target, client, disk, net, opening: Vec::new(), dir, setup };
        lab.await_service();
        lab
    }

    #[track_caller]
    fn await_service(&mut self) {
        self.target.wait_until_serving();
        self.opening.clear();
        let deadline = Instant::now() + PATIENCE;
        while !self.opening.last().is_some_and(|frame| is_advertisement(frame)) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(frame) = self.client.receive(left) else {
                panic!("the target does not advertise itself")
            };
            self.opening.push(frame);
        }
    }

    /// Stops the target and starts it again.
    #[track_caller]
    pub fn restart(&mut self) {
        let path = self.disk.path().to_owned();
        self.export(&path);
    }

    /// Stops the target and starts it again with another file.
    #[track_caller]
    pub fn export(&mut self, path: &Path) {
        self.target.stop();
        self.begin(path);
    }

    /// Starts the target again, which has ended.
    #[track_caller]
    pub fn revive(&mut self) {
        let path = self.disk.path().to_owned();
        self.begin(&path);
    }

    /// Starts the target, which has ended, with this file.
    #[track_caller]
    pub fn begin(&mut self, path: &Path) {
        self.target = self.setup.spawn(&self.dir, path);
        self.await_service();
    }

    /// Sends a request and returns its reply, checked for all that holds for every reply.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Reply {
        self.ask_bytes(&request.bytes())
    }

    /// [`Lab::ask`] with the bytes of a frame.
    #[track_caller]
    pub fn ask_bytes(&mut self, request: &[u8]) -> Reply {
        self.client.send(request);
        let Some(frame) = self.next(PATIENCE) else { panic!("no reply to {}", start(request)) };
        self.judge(request, &frame)
    }

    /// Checks a frame that should be the reply to a request.
    #[track_caller]
    #[must_use]
    pub fn judge(&self, request: &[u8], frame: &[u8]) -> Reply {
        let (major, minor) = self.setup.address;
        let [high, low] = major.to_be_bytes();
        Reply::checked_at(request, frame, self.setup.macs.0, [high, low, minor])
    }

    /// Sends a request that must remain unanswered.
    #[track_caller]
    pub fn quiet(&mut self, request: &Request) {
        self.quiet_bytes(&request.bytes());
    }

    /// [`Lab::quiet`] with the bytes of a frame.
    #[track_caller]
    pub fn quiet_bytes(&mut self, request: &[u8]) {
        self.client.send(request);
        if let Some(frame) = self.flush_out() {
            panic!("there should be no reply\n  > {}\n  < {}", start(request), start(&frame));
        }
    }

    /// Returns when the target has looked at everything sent so far. Nothing must arrive meanwhile.
    #[track_caller]
    pub fn settle(&mut self) {
        if let Some(frame) = self.flush_out() {
            panic!("the target sends what nobody asked for: {}", start(&frame));
        }
    }

    /// Asks for something that is always answered, after which frames sent earlier have been looked at. Returns the
    /// first frame that is not the answer to that.
    #[track_caller]
    fn flush_out(&mut self) -> Option<Vec<u8>> {
        let (major, minor) = self.setup.address;
        let sentinel =
            request::config(0, &[]).at(major, minor).from(self.setup.macs.1).to(self.setup.macs.0).bytes();
        self.client.send(&sentinel);
        let Some(frame) = self.next(PATIENCE) else { panic!("the target answers no more") };
        if frame.get(20..24) != sentinel.get(20..24) {
            return Some(frame);
        }
        let _ = self.judge(&sentinel, &frame);
        None
    }

    /// The request, between the addresses of this setting.
    fn address(&self, request: Request) -> Request {
        let Setup { address: (major, minor), macs: (target, client), .. } = self.setup;
        request.at(major, minor).from(client).to(target)
    }

    /// The next frame that is no request of the target's own: it may look for others with its address.
    pub fn next(&mut self, within: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + within;
        loop {
            let frame = self.client.receive(deadline.saturating_duration_since(Instant::now()))?;
            if frame.get(14).is_some_and(|flags| flags & 8 != 0) {
                return Some(frame);
            }
        }
    }

    /// Waits for an advertisement, and returns it. Replies meanwhile are dropped.
    #[track_caller]
    pub fn await_advertisement(&mut self, within: Duration) -> Vec<u8> {
        let deadline = Instant::now() + within;
        while let Some(frame) = self.next(deadline.saturating_duration_since(Instant::now())) {
            if is_advertisement(&frame) {
                return frame;
            }
        }
        panic!("the target does not advertise itself");
    }

    /// Looks at the far end of a new cable.
    #[track_caller]
    pub fn reopen(&mut self) {
        self.client = Client::open(CLIENT).expect("a raw socket");
    }

    /// Writes sectors, which must succeed, and remembers them.
    #[track_caller]
    pub fn write(&mut self, lba: u64, data: &[u8]) {
        self.ask(&request::write(lba, data)).good();
        self.disk.expect(lba, data);
    }

    /// Reads sectors, which must succeed and give what the disk contains.
    #[track_caller]
    pub fn read(&mut self, lba: u64, count: u8) {
        let reply = self.ask(&request::read(lba, count));
        reply.good().with_data(self.disk.sectors(lba, count.into()));
    }
}

impl Setup {
    fn spawn(&self, dir: &TempDir, path: &Path) -> Target {
        let (shelf, slot) = self.address;
        let mut arguments = self.options.clone();
        arguments.extend([
            shelf.to_string(),
            slot.to_string(),
            TARGET.to_owned(),
            path.display().to_string(),
        ]);
        Target::spawn(dir.path(), &self.wrapper, &arguments)
    }
}

/// A config reply that nobody asked for, which its tag says.
fn is_advertisement(frame: &[u8]) -> bool {
    frame.len() >= 32 && frame[14] & 8 != 0 && frame[19..24] == [1, 0, 0, 0, 0]
}
