//! The figures as Prometheus reads them, in the OpenMetrics text format. `docs/control.md` lists the names.
//!
//! How many series there are is bounded: an export has some hundred, and each initiator in its table, which holds no more than a fixed number,
//! about thirty. An initiator's latencies are in buckets four times as wide as those of its export, for that reason.

mod families;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use self::families::{EXPORT, INITIATOR, INTERFACE, SERVER, SPLIT};
use super::model::{ExportFigures, Histogram, InitiatorFigures, Snapshot};

/// What the text is said to be over HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of one scrape.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let mut registry = Registry::with_prefix("vblade");
    registry.register_collector(Box::new(Figures(snapshot.clone())));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Figures(Snapshot);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot { at, server, interfaces, exports } = &self.0;
        let mut build = encoder.encode_descriptor("build", "The program", None, MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let help = "Since the program started";
        encoder
            .encode_descriptor("uptime", help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(at)?;
        for (name, help, of) in SERVER {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, f64>(&of(server), None)?;
        }
        for family in INTERFACE {
            family
                .encode(&mut encoder, interfaces.iter().map(|it| ([("interface", it.name.as_str())], it)))?;
        }
        for family in EXPORT {
            family.encode(&mut encoder, exports.iter().map(|it| ([("export", it.export.as_str())], it)))?;
        }
        for (name, help, label, values) in SPLIT {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for export in exports {
                for (value, of) in *values {
                    let labels = [("export", export.export.as_str()), (*label, value)];
                    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&of(export), None)?;
                }
            }
        }
        latencies(&mut encoder, exports)?;
        for family in INITIATOR {
            family.encode(&mut encoder, initiators(exports))?;
        }
        let help = "From taking a request of this initiator to its answer";
        let mut metric = encoder.encode_descriptor(
            "initiator_request_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (labels, initiator) in initiators(exports) {
            let latency = &initiator.latency;
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                latency.sum_us as f64 / 1e6,
                counted(latency),
                &buckets(latency, 2),
                None,
            )?;
        }
        Ok(())
    }
}

type InitiatorLabels<'a> = [(&'static str, &'a str); 3];

fn initiators(exports: &[ExportFigures]) -> impl Iterator<Item = (InitiatorLabels<'_>, &InitiatorFigures)> {
    exports.iter().flat_map(|export| {
        export.initiators.iter().map(|it| {
            let name = it.name.as_deref().unwrap_or_default();
            ([("export", export.export.as_str()), ("initiator", it.mac.as_str()), ("name", name)], it)
        })
    })
}

fn latencies(encoder: &mut DescriptorEncoder<'_>, exports: &[ExportFigures]) -> fmt::Result {
    let help = "From taking a request to its answer";
    let mut metric = encoder.encode_descriptor(
        "export_request_duration",
        help,
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for it in exports {
        let operations =
            [("read", &it.read_latency), ("write", &it.write_latency), ("other", &it.other_latency)];
        for (operation, latency) in operations {
            metric
                .encode_family(&[("export", it.export.as_str()), ("operation", operation)])?
                .encode_histogram::<NoLabelSet>(
                    latency.sum_us as f64 / 1e6,
                    counted(latency),
                    &buckets(latency, 1),
                    None,
                )?;
        }
    }
    Ok(())
}

/// All that the buckets hold: the format wants it to be what the last bucket says.
fn counted(histogram: &Histogram) -> u64 {
    histogram.buckets.iter().sum()
}

/// Upper bounds in seconds and counts, `together` buckets of ours in one, and one without a bound at the end.
fn buckets(histogram: &Histogram, together: usize) -> Vec<(f64, u64)> {
    let (mut buckets, mut sum) = (Vec::new(), 0);
    for (n, count) in histogram.buckets.iter().enumerate() {
        sum += count;
        if let Some(bound) = histogram.bound(n).filter(|_| n % together == 0) {
            buckets.push((bound, sum));
            sum = 0;
        }
    }
    buckets.push((f64::INFINITY, sum));
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::model::Counts;

    fn sample(text: &str, name: &str) -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }

    fn snapshot() -> Snapshot {
        let latency = Histogram { buckets: vec![1, 2, 4, 8], sum_us: 50, count: 15 };
        let counts =
            Counts { requests: 10, reads: 6, writes: 3, read_bytes: 4096, errors: 3, ..Counts::default() };
        let initiator = InitiatorFigures {
            mac: "02:00:00:00:00:01".into(),
            name: Some("we\"b\\1".into()),
            counts,
            last_seen: 1.5,
            latency: latency.clone(),
        };
        let export = ExportFigures {
            export: "7.3".into(),
            state: "up".into(),
            sectors: 2048,
            counts,
            disk_errors: 2,
            read_latency: latency,
            initiators: vec![initiator],
            ..ExportFigures::default()
        };
        Snapshot { at: 12.5, exports: vec![export], ..Snapshot::default() }
    }

    #[test]
    fn figures_have_names_units_and_labels() {
        let text = text(&snapshot());
        assert_eq!(sample(&text, "vblade_uptime_seconds"), Some(12.5));
        assert_eq!(
            sample(&text, r#"vblade_export_requests_total{export="7.3",operation="other"}"#),
            Some(1.0)
        );
        assert_eq!(sample(&text, r#"vblade_export_read_bytes_total{export="7.3"}"#), Some(4096.0));
        assert_eq!(sample(&text, r#"vblade_export_errors_total{export="7.3",kind="disk"}"#), Some(2.0));
        let labels = r#"{export="7.3",initiator="02:00:00:00:00:01",name="we\"b\\1"}"#;
        assert_eq!(sample(&text, &format!("vblade_initiator_requests_total{labels}")), Some(10.0), "{text}");
        assert_eq!(
            sample(&text, &format!("vblade_initiator_errors_total{labels}")),
            Some(3.0),
            "of any kind"
        );
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_histogram_is_cumulative_in_seconds() {
        let text = text(&snapshot());
        let of = |le: &str| {
            sample(
                &text,
                &format!(
                    "vblade_export_request_duration_seconds_bucket{{le=\"{le}\",export=\"7.3\",operation=\"read\"}}"
                ),
            )
        };
        assert_eq!(
            (of("0.000001"), of("0.000002"), of("0.000004"), of("+Inf")),
            (Some(1.0), Some(3.0), Some(7.0), Some(15.0)),
            "{text}"
        );
        let sum = r#"vblade_export_request_duration_seconds_sum{export="7.3",operation="read"}"#;
        assert_eq!(sample(&text, sum), Some(50e-6));
    }

    #[test]
    fn an_initiator_has_half_the_buckets() {
        let histogram = Histogram { buckets: vec![1, 2, 4, 8], sum_us: 0, count: 15 };
        assert_eq!(buckets(&histogram, 2), [(1e-6, 1), (4e-6, 6), (f64::INFINITY, 8)]);
        assert_eq!(buckets(&Histogram::default(), 1), [(f64::INFINITY, 0)]);
    }
}
