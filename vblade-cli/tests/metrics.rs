//! The metrics as those read them who are to: a Prometheus client library, and the dashboard.

#[expect(dead_code, reason = "each test binary uses its part")]
mod scene;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use vblade_cli::control::metrics::text;
use vblade_cli::control::model::{Counts, ExportFigures, Histogram, InitiatorFigures, Interface, Snapshot};

/// What has a place on the dashboard, whatever else there is.
const IMPORTANT: &[&str] = &[
    "vblade_export_up",
    "vblade_export_requests_total",
    "vblade_export_read_bytes_total",
    "vblade_export_written_bytes_total",
    "vblade_export_errors_total",
    "vblade_export_retransmits_total",
    "vblade_export_in_flight",
    "vblade_export_request_duration_seconds_bucket",
    "vblade_export_ignored_total",
    "vblade_export_limited_total",
    "vblade_interface_up",
    "vblade_interface_receive_dropped_total",
    "vblade_address_conflicts_total",
    "vblade_initiator_requests_total",
    "vblade_initiator_errors_total",
    "vblade_initiator_retransmits_total",
    "vblade_initiator_request_duration_seconds_bucket",
];

/// Figures of two exports, one of which is used, by a name that has to be escaped.
fn snapshot() -> Snapshot {
    let latency = Histogram { buckets: (0..28).collect(), sum_us: 123_456, count: (0..28).sum() };
    let counts = Counts { requests: 9, reads: 5, writes: 3, read_bytes: u64::MAX, ..Counts::default() };
    let initiator = |last| InitiatorFigures {
        mac: format!("02:00:00:00:00:{last:02x}"),
        name: (last == 1).then(|| "a\\\"b\nc".to_owned()),
        counts,
        last_seen: 0.25,
        latency: latency.clone(),
    };
    let used = ExportFigures {
        export: "7.3".into(),
        state: "up".into(),
        sectors: 1 << 40,
        counts,
        read_latency: latency.clone(),
        write_latency: latency.clone(),
        other_latency: latency.clone(),
        initiators: vec![initiator(1), initiator(2)],
        ..ExportFigures::default()
    };
    let down = ExportFigures { export: "7.4".into(), state: "down".into(), ..ExportFigures::default() };
    let interface =
        Interface { name: "eth0".into(), up: true, mtu: 9000, rx_dropped: 7, ..Interface::default() };
    Snapshot { at: 1e6, interfaces: vec![interface], exports: vec![used, down], ..Snapshot::default() }
}

/// Names of samples, without their labels.
fn samples() -> BTreeSet<String> {
    let text = text(&snapshot());
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// Every word in a string of `value` that looks like the name of a metric.
fn names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            found.extend(words.filter(|word| word.starts_with("vblade_")).map(str::to_owned));
        }
        Value::Array(values) => values.iter().for_each(|value| names(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn a_prometheus_client_library_reads_the_text() {
    // Debian's python3-prometheus-client, whose parser is strict: units, order, escapes, buckets that add up.
    let script = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for sample in family.samples:
        if sample.name == 'vblade_initiator_requests_total': print(repr(sample.labels['name']), int(sample.value))
        if sample.labels.get('le') == '+Inf' and sample.labels.get('operation') == 'read': print(sample.labels['export'], int(sample.value))";
    let available =
        Command::new("/usr/bin/python3").args(["-c", "import prometheus_client.openmetrics.parser"]).output();
    if !available.is_ok_and(|output| output.status.success()) {
        return scene::skip("no Prometheus client library: apt-get install python3-prometheus-client");
    }
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    python.stdin.take().expect("a pipe").write_all(text(&snapshot()).as_bytes()).expect("a reader");
    let output = python.wait_with_output().expect("Python");
    assert!(output.status.success(), "the text is not as it should be");
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "7.3 378\n7.4 0\n'a\\\\\"b\\nc' 9\n'' 9\n");
}

#[test]
fn the_dashboard_names_metrics_that_exist_and_all_that_matter() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../contrib/grafana/vblade.json");
    let dashboard = std::fs::read_to_string(path).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    let (mut named, samples) = (BTreeSet::new(), samples());
    names(&dashboard, &mut named);
    let unknown: Vec<_> = named.difference(&samples).collect();
    assert!(unknown.is_empty(), "the dashboard names {unknown:?}, which nobody tells");
    let missing: Vec<_> = IMPORTANT.iter().filter(|name| !named.contains(**name)).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
}

#[test]
fn the_manual_lists_every_metric_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control.md");
    let manual = Value::String(std::fs::read_to_string(path).expect("the manual"));
    let mut named = BTreeSet::new();
    names(&manual, &mut named);
    // A histogram is listed by the name of the whole.
    let family = |name: &String| {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        whole.filter(|whole| whole.ends_with("_seconds")).unwrap_or(name).to_owned()
    };
    assert_eq!(named, samples().iter().map(family).collect());
}
