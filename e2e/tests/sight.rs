//! What others see of a real `vbladed`: Prometheus's own checker its metrics, Wireshark's decoder its traces, and hostile clients nothing
//! that others would notice.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use e2e::daemon::{Daemon, export, program};
use e2e::net::{TARGET, skip};
use e2e::stage::{Stage, with_a_cable};
use e2e::tool::{Tool, aoe};
use serde_json::{Value, json};

const METRICS: &str = "127.0.0.1:9590";
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn served(stage: &Stage) -> Daemon {
    stage.net.ip("link set lo up");
    let of = |name, disk| export(name, &stage.random(disk, 4096), TARGET, "cache = \"writeback\"");
    // The table [daemon] goes on with the first line.
    let exports = format!("metrics = \"{METRICS}\"\n") + &of("7.1", "one") + &of("7.2", "two");
    Daemon::start(&stage.path(""), "d", &exports)
}

fn connect(stage: &Stage) -> UnixStream {
    let stream = UnixStream::connect(stage.path("d/control.sock")).expect("the control socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time");
    stream
}

/// Runs `vbladectl`, which must succeed.
#[track_caller]
fn ctl(stage: &Stage, words: &str) -> Value {
    let mut command = Command::new(program().with_file_name("vbladectl"));
    command.args(["--json", "--socket"]).arg(stage.path("d/control.sock")).args(words.split(' '));
    let Output { status, stdout, stderr } = command.output().expect("vbladectl");
    assert!(status.success(), "{words}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).expect("JSON")
}

#[track_caller]
fn metrics() -> String {
    let mut stream = TcpStream::connect(METRICS).expect("the metrics port");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {METRICS}\r\n\r\n").expect("a reader");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// A Prometheus that asks the daemon every second. It is killed when dropped.
struct Prometheus(Child);

impl Prometheus {
    const AT: &str = "127.0.0.1:9591";

    #[track_caller]
    fn start(stage: &Stage) -> Self {
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: vblade, static_configs: [{{targets: ['{METRICS}']}}]}}]\n"
        );
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", stage.file("prometheus.yml", text.as_bytes()).display()));
        command.arg(format!("--storage.tsdb.path={}", stage.path("prometheus").display()));
        command.arg(format!("--web.listen-address={}", Self::AT));
        let log = fs::File::create(stage.path("prometheus.log")).expect("a log");
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("prometheus"))
    }

    /// What it answers to a query: no line while it knows nothing of it.
    fn ask(&self, query: &str) -> String {
        let server = format!("http://{}", Self::AT);
        let output = Command::new("promtool").args(["query", "instant", &server, query]).output();
        String::from_utf8_lossy(&output.expect("promtool").stdout).into_owned()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has_prometheus() -> bool {
    let there = |program| Command::new(program).arg("--version").output().is_ok();
    let both = there("promtool") && there("prometheus");
    if !both {
        skip("needs the commands promtool and prometheus: apt-get install prometheus");
    }
    both
}

#[test]
fn prometheus_takes_the_metrics_as_they_are() {
    let Some(stage) = with_a_cable(1500).filter(|_| has_prometheus()) else { return };
    let mut daemon = served(&stage);
    aoe("read -q e7.1 - --length 8").good();
    let reads = daemon.ask("stats", json!({}))["exports"][0]["reads"].as_u64().expect("a count");
    let prometheus = Prometheus::start(&stage);
    daemon.until("Prometheus has asked", |_| prometheus.ask("up").contains("job=\"vblade\""));
    let up = prometheus.ask("up");
    assert!(up.contains("=> 1 @"), "{up}");
    let answer = prometheus.ask("vblade_export_requests_total{export=\"7.1\",operation=\"read\"}");
    assert!(reads > 0 && answer.contains(&format!("=> {reads} @")), "{reads} reads: {answer}");
    let answer = prometheus
        .ask("histogram_quantile(0.5, vblade_export_request_duration_seconds_bucket{operation=\"read\"})");
    assert!(answer.contains("export=\"7.1\""), "{answer}");
    daemon.stop();
}

#[test]
fn promtool_has_no_complaint_of_the_names_and_texts_of_metrics() {
    let Some(stage) = with_a_cable(1500).filter(|_| has_prometheus()) else { return };
    let mut daemon = served(&stage);
    aoe("read -q e7.1 - --length 8").good();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool");
    child.stdin.take().expect("a pipe").write_all(older(&metrics()).as_bytes()).expect("a reader");
    let Output { status, stdout, stderr } = child.wait_with_output().expect("promtool");
    let said = [stdout, stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(status.success() && said.concat().trim().is_empty(), "{status}: {said:?}");
    daemon.stop();
}

/// The same metrics in the text format from before OpenMetrics, the only one that `promtool check` knows: there, the family of a counter has the
/// name of its series, and information is a gauge.
fn older(text: &str) -> String {
    let counters: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let line = |line: &str| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", family, "info"] => format!("# TYPE {family}_info gauge\n"),
            ["#", "HELP", "vblade_build", text] => format!("# HELP vblade_build_info {text}\n"),
            ["#", what, family, text] if counters.contains(&family) => {
                format!("# {what} {family}_total {text}\n")
            }
            ["#", "UNIT", ..] | ["#", "EOF"] => String::new(),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn tshark_decodes_the_frames_of_a_trace_and_no_others() {
    if Command::new("tshark").arg("--version").output().is_err() {
        return skip("needs the command tshark: apt-get install tshark");
    }
    let Some(stage) = with_a_cable(1500) else { return };
    let mut daemon = served(&stage);
    let on = ctl(&stage, "trace on 7.1");
    aoe("read -q e7.1 - --length 8").good();
    aoe("read -q e7.2 - --length 8").good();
    let off = ctl(&stage, "trace off 7.1");
    aoe("read -q e7.1 - --length 8").good();
    assert_eq!((&on["file"], &off["dropped"]), (&off["file"], &json!(0)));
    let file = off["file"].as_str().expect("a path");
    assert_eq!(fs::metadata(file).expect("the trace").len(), off["bytes"].as_u64().expect("a size"));

    let mut tshark = Command::new("tshark");
    tshark.args(["-r", file, "-T", "fields", "-E", "separator=/s"]);
    for field in ["frame.protocols", "aoe.major", "aoe.minor", "aoe.response", "aoe.cmd", "aoe.ata.cmd"] {
        tshark.args(["-e", field]);
    }
    let Output { status, stdout, stderr } = tshark.env("HOME", stage.path("")).output().expect("tshark");
    let (text, complaints) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && !complaints.contains("damaged"), "{complaints}");
    let frames: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(frames.len() as u64, off["frames"].as_u64().expect("a count"), "{text}");
    for frame in &frames {
        assert!(frame[0].starts_with("eth:ethertype:aoe"), "{frame:?}");
    }
    // READ SECTORS EXT, asked and answered as often; four times two sectors at MTU 1500.
    let is_read = |frame: &&Vec<&str>| frame.last().is_some_and(|command| number(command) == Some(0x24));
    let reads: Vec<_> = frames.iter().filter(is_read).collect();
    assert!(reads.iter().all(|frame| (number(frame[1]), number(frame[2])) == (Some(7), Some(1))), "{text}");
    let answers = reads.iter().filter(|frame| ["1", "True"].contains(&frame[3])).count();
    assert_eq!((reads.len(), answers), (8, 4), "{text}");
    daemon.stop();
}

/// A number as tshark prints it.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Kilobytes of the process that are resident.
fn resident(daemon: &mut Daemon) -> u64 {
    let pid = daemon.ask("status", json!({}))["pid"].as_u64().expect("a number");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The next answer.
#[track_caller]
fn answer(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line:?}"))
}

#[test]
fn hostile_clients_of_the_control_socket_are_refused_and_requests_go_on() {
    let Some(stage) = with_a_cable(1500) else { return };
    let mut daemon = served(&stage);
    let before = resident(&mut daemon);
    let load = Tool::new("bench --json --read 50 --force --duration 5 e7.1").within(60).spawn();

    // What is no request is answered, and the connection goes on.
    let garbage = connect(&stage);
    for line in [
        &b"\xff\xfe\x00 garbage"[..],
        b"{\"method\":",
        b"[1,2]",
        b"null",
        b"{\"method\": 7}",
        &[b'['; 60_000],
    ] {
        (&garbage).write_all(&[line, b"\n"].concat()).expect("a reader");
        assert_eq!(
            answer(&garbage)["error"]["code"],
            "parse",
            "{:?}",
            String::from_utf8_lossy(&line[..7.min(line.len())])
        );
    }
    (&garbage).write_all(b"{\"id\": 1, \"method\": \"version\"}\n").expect("a reader");
    assert_eq!(answer(&garbage)["id"], 1);
    drop(garbage);

    // A line that is too long is refused before it is all there, and the connection is over.
    let mut long = connect(&stage);
    // It may be closed meanwhile.
    let _ = long.write_all(&vec![b'x'; 1 << 20]);
    let mut said = Vec::new();
    let _ = long.read_to_end(&mut said);
    assert!(said.is_empty() || String::from_utf8_lossy(&said).contains("\"parse\""), "{said:?}");

    // Whoever takes no answers is not asked for more, and costs no memory.
    let greedy = connect(&stage);
    greedy.set_nonblocking(true).expect("a socket");
    let questions = b"{\"method\": \"stats\"}\n".repeat(1000);
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        // Fails when the daemon reads no more.
        let _ = (&greedy).write(&questions);
        thread::sleep(Duration::from_millis(5));
    }

    // A hundred that say nothing: those that were there longest give way, or the next is told to come later.
    let idle: Vec<_> = (0..100).map(|_| connect(&stage)).collect();
    let next = connect(&stage);
    let _ = (&next).write_all(b"{\"id\": 2, \"method\": \"version\"}\n");
    let said = answer(&next);
    assert!(said["id"] == 2 || said["error"]["code"] == "busy", "{said}");
    drop((idle, greedy, next));

    daemon.until("an honest client is answered", |_| {
        let stream = connect(&stage);
        let _ = (&stream).write_all(b"{\"id\": 3, \"method\": \"version\"}\n");
        answer(&stream)["id"] == 3
    });
    let grown = resident(&mut daemon).saturating_sub(before);
    assert!(grown < 32 << 10, "by {grown} KiB");
    let outcome = load.wait();
    let report = outcome.good().json();
    assert_eq!(report["errors"], 0, "{report}");
    assert!(report["replies"].as_u64().is_some_and(|replies| replies > 0), "{report}");
    daemon.stop();
}
