//! The metrics: a line to each.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::control::model::{ExportFigures, InitiatorFigures, Interface, ServerFigures};

/// A metric with one series to each `T`.
pub(super) struct Family<T> {
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    value: Value<T>,
}

enum Value<T> {
    Counter(Of<T>),
    Gauge(fn(&T) -> f64),
}

pub(super) type Of<T> = fn(&T) -> u64;

impl<T> Family<T> {
    pub(super) fn encode<'a, L: EncodeLabelSet>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        all: impl Iterator<Item = (L, &'a T)>,
    ) -> fmt::Result
    where
        T: 'a,
    {
        let kind = match self.value {
            Value::Counter(_) => MetricType::Counter,
            Value::Gauge(_) => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)?;
        for (labels, it) in all {
            let mut series = metric.encode_family(&labels)?;
            match self.value {
                Value::Counter(of) => series.encode_counter::<NoLabelSet, _, f64>(&of(it), None)?,
                Value::Gauge(of) => series.encode_gauge(&of(it))?,
            }
        }
        Ok(())
    }
}

const BYTES: Option<Unit> = Some(Unit::Bytes);

const fn counter<T>(name: &'static str, unit: Option<Unit>, help: &'static str, of: Of<T>) -> Family<T> {
    Family { name, unit, help, value: Value::Counter(of) }
}

const fn gauge<T>(
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    of: fn(&T) -> f64,
) -> Family<T> {
    Family { name, unit, help, value: Value::Gauge(of) }
}

pub(super) const SERVER: &[(&str, &str, Of<ServerFigures>)] = &[
    ("received_frames", "Frames received", |it| it.rx_frames),
    ("sent_frames", "Frames sent", |it| it.tx_frames),
    ("advertisements", "Config replies that nobody asked for", |it| it.advertisements),
    ("overlaps", "Requests that waited for one they overlap", |it| it.overlaps),
    ("over_share", "Requests of initiators beyond their share of a disk", |it| it.over_share),
    ("queue_full", "Times that a disk took no more", |it| it.queue_full),
    ("no_frame", "Frames that could not be had for a copy", |it| it.no_frame),
    ("wildcards_dropped", "Wildcard requests beyond the limit", |it| it.wildcards_dropped),
    ("address_conflicts", "Times that another station answered for an export", |it| it.address_conflicts),
];

pub(super) const INTERFACE: &[Family<Interface>] = &[
    gauge("interface_present", None, "Whether there is an interface of that name", |it| {
        f64::from(it.present)
    }),
    gauge("interface_up", None, "Whether its link is up", |it| f64::from(it.up)),
    gauge("interface_mtu", BYTES, "Payload of a frame", |it| f64::from(it.mtu)),
    counter("interface_receive_dropped", None, "Frames that the kernel dropped, its ring being full", |it| {
        it.rx_dropped
    }),
    counter("interface_receive_refused", None, "Frames received and not taken", |it| it.rx_refused),
    counter("interface_transmit_dropped", None, "Replies that the kernel did not take", |it| it.tx_dropped),
];

pub(super) const EXPORT: &[Family<ExportFigures>] = &[
    gauge("export_up", None, "Whether it is served", |it| f64::from(it.state == "up")),
    gauge("export_size", BYTES, "Of its disk", |it| it.sectors as f64 * 512.0),
    counter("export_read", BYTES, "Read from it", |it| it.counts.read_bytes),
    counter("export_written", BYTES, "Written to it", |it| it.counts.written_bytes),
    counter("export_retransmits", None, "Requests that had come before", |it| it.counts.retransmits),
    gauge("export_in_flight", None, "Requests being worked on", |it| it.counts.in_flight as f64),
    gauge("export_in_flight_max", None, "Most requests in flight at a time", |it| it.max_in_flight as f64),
    counter("export_ignored", None, "Frames without an answer: masked, denied, malformed", |it| it.ignored),
    counter("export_late_writes", None, "Writes dropped because a later one had been executed", |it| {
        it.late_writes
    }),
    counter("export_flushes", None, "Flushes", |it| it.flushes),
    counter("export_trims", None, "Trims", |it| it.trims),
    counter("export_limited", None, "Requests that the rate limit made wait", |it| it.limited),
    gauge("export_initiators", None, "Initiators in the table", |it| it.initiators.len() as f64),
    counter("export_initiators_forgotten", None, "Initiators that gave way to others", |it| {
        it.initiators_forgotten
    }),
];

pub(super) type Values = &'static [(&'static str, Of<ExportFigures>)];

/// Name, help, label, and what each value of the label counts.
pub(super) const SPLIT: &[(&str, &str, &str, Values)] = &[
    (
        "export_requests",
        "Requests",
        "operation",
        &[
            ("read", |it| it.counts.reads),
            ("write", |it| it.counts.writes),
            ("other", |it| {
                it.counts.requests.saturating_sub(it.counts.reads).saturating_sub(it.counts.writes)
            }),
        ],
    ),
    (
        "export_errors",
        "Requests answered with an error of AoE, of ATA, or of ATA because the disk failed",
        "kind",
        &[("aoe", |it| it.aoe_errors), ("ata", |it| it.ata_errors), ("disk", |it| it.disk_errors)],
    ),
];

pub(super) const INITIATOR: &[Family<InitiatorFigures>] = &[
    counter("initiator_requests", None, "Requests of this initiator", |it| it.counts.requests),
    counter("initiator_read", BYTES, "Read by it", |it| it.counts.read_bytes),
    counter("initiator_written", BYTES, "Written by it", |it| it.counts.written_bytes),
    counter("initiator_errors", None, "Its requests answered with an error", |it| it.counts.errors),
    counter("initiator_retransmits", None, "Its requests that had come before", |it| it.counts.retransmits),
    gauge("initiator_in_flight", None, "Its requests being worked on", |it| it.counts.in_flight as f64),
    gauge("initiator_idle", Some(Unit::Seconds), "Since its last request", |it| it.last_seen),
];
