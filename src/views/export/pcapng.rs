// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The packets of a recording as pcapng, each with what the kernel knew at that moment as its comment.
//!
//! A hook's sighting is a packet here: what the socket sent and the interface sent stands twice, at two
//! interfaces of the file, as it would in a capture at both places.

mod blocks;
mod frame;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use super::ExportError;
use super::moment::{Moment, Moments, Owner, Owners, Ssthresh};
use crate::engine::estats::{Engine, Interval, RuleOptions};
use crate::engine::keyframe::{Knows, merge_since};
use crate::engine::packets::Tracker;
use crate::engine::time::order::Consumer;
use crate::engine::time::packets::{Ordered, key as packet_key};
use crate::engine::time::timeline::{Of, Timeline};
use crate::engine::time::{OrderKey, key};
use crate::log::{LogError, Manifest, Recording};
use crate::replay::{self, ReplayOptions};
use crate::schema::{Direction, Hook, Place, Var};
use crate::util::visible::visible;
use crate::wire::{Checksum, Header, Lifecycle, Operation, Packet};

use blocks::{InterfaceDescription, Link, PacketBlock, Section, Writer};

/// The most octets of a payload that a capture's digest, or a known header, may have.
const PAYLOAD_MAX: u32 = 65_535;

/// Writes all packets; gives their number.
///
/// # Errors
/// [`ExportError`], among them [`ExportError::NoPackets`].
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    out: impl Write,
) -> Result<u64, ExportError> {
    let manifest = recording.manifest();
    let timeline = replay::clocks(recording)?;
    let mut packets = Ordered::new(recording.packets());
    let next = packets.next().transpose()?;
    if next.is_none() {
        return Err(ExportError::NoPackets);
    }
    let plan = replay::plan(manifest, RuleOptions::default());
    let mut engine = Engine::new(&plan, &timeline, Interval::Event, Moments::default());
    let of_packets = manifest.is_of_packets();
    if of_packets {
        engine = engine.of_packets();
    }
    let file = File {
        writer: Writer::new(out, &section(manifest, &timeline))?,
        names: Names::of(manifest),
        timeline: &timeline,
        interfaces: BTreeMap::new(),
        bytes: Vec::new(),
        comment: String::new(),
        count: 0,
    };
    let linked = Linked { engine, owners: Owners::default() };
    let mut stream = Stream { linked, file, packets, next };
    if of_packets {
        let mut tracker = Tracker::default();
        while let Some((packet, late)) = stream.take()? {
            tracker.packet(&mut stream.linked, &packet, late)?;
            stream.file.packet(&packet, &mut stream.linked)?;
        }
    } else {
        let hooks = recording.hooks(options.threads).map(|b| b.map_err(ExportError::from));
        let lifecycles = recording.lifecycles().map(|row| row.map_err(ExportError::from));
        merge_since(recording.key_frame()?.as_ref(), hooks, lifecycles, &mut stream)?;
        stream.before(None)?;
    }
    stream.file.writer.finish()?;
    Ok(stream.file.count)
}

fn section(manifest: &Manifest, timeline: &Timeline) -> Section {
    let host = &manifest.host;
    let mut comments = vec![format!("estats recording {}", manifest.recording)];
    if !host.hostname.is_empty() {
        comments.push(format!("host {}, boot {}", visible(&host.hostname), host.boot_id));
    }
    if let Some(import) = &manifest.import {
        comments.push(format!("imported from {}", visible(&import.format)));
    }
    let lost = timeline.lost_between(Of::Packets, 0, u64::MAX);
    if lost > 0 {
        comments.push(format!("{lost} packets are not in the recording: their records were lost"));
    }
    let lost = timeline.lost_between(Of::Connections, 0, u64::MAX);
    if lost > 0 {
        comments.push(format!(
            "{lost} records of connections were lost: values in the comments may be older than they look"
        ));
    }
    let os = format!("Linux {} {}", host.kernel_release, host.kernel_version);
    Section {
        hardware: host.machine.clone(),
        os: if host.kernel_release.is_empty() { String::new() } else { os },
        application: format!("estats {}", env!("CARGO_PKG_VERSION")),
        comments,
    }
}

/// Names of interfaces, by network namespace and index.
struct Names {
    names: BTreeMap<(Option<u32>, u32), String>,
    snaplen: u32,
}

impl Names {
    fn of(manifest: &Manifest) -> Self {
        let mut names = BTreeMap::new();
        for namespace in &manifest.namespaces {
            for i in &namespace.interfaces {
                names.insert((Some(namespace.netns), i.index), i.name.clone());
            }
        }
        for i in &manifest.interfaces {
            names.insert((Some(i.netns), i.index), i.name.clone());
        }
        for i in manifest.import.iter().flat_map(|import| &import.interfaces) {
            if let Some(name) = &i.name {
                names.insert((None, i.number), name.clone());
            }
        }
        let digest = manifest.options.digest_bytes.unwrap_or(PAYLOAD_MAX);
        // Known headers of payloads are kept beyond it.
        let snaplen = frame::HEADERS_MAX + digest.clamp(64, PAYLOAD_MAX);
        Self { names, snaplen }
    }

    fn name(&self, netns: Option<u32>, index: u32) -> String {
        let name = self.names.get(&(netns, index));
        name.map_or_else(|| format!("if{index}"), |name| visible(name).into_owned())
    }
}

/// One interface of the file: a hook at a place, with link headers of one kind.
type PlaceKey = (Hook, Option<u32>, Option<u32>, Link);

struct File<'a, W> {
    writer: Writer<W>,
    names: Names,
    timeline: &'a Timeline,
    interfaces: BTreeMap<PlaceKey, u32>,
    bytes: Vec<u8>,
    comment: String,
    count: u64,
}

impl<W: Write> File<'_, W> {
    /// The number of a packet's interface, which is described before its first packet.
    fn interface(&mut self, packet: &Packet) -> io::Result<u32> {
        let link = frame::link(packet);
        let (place, way) = match packet.hook.sees() {
            Some((place @ (Place::Socket | Place::Interface), way)) => (place, way),
            // No other hook makes packets.
            Some((Place::Capture, _)) | None => (Place::Capture, packet.direction),
        };
        // Which device a socket's packet takes is a property of the packet, not of the place.
        let index = if place == Place::Socket { None } else { packet.interface };
        let key = (packet.hook, packet.netns, index, link);
        if let Some(&number) = self.interfaces.get(&key) {
            return Ok(number);
        }
        let number = self.interfaces.len() as u32;
        self.interfaces.insert(key, number);
        let (name, mut description) = match (place, index) {
            (Place::Socket, _) => {
                (format!("socket {}", way.name()), format!("{} by sockets", verb(way)))
            }
            (Place::Interface, index) => {
                let index = index.unwrap_or(0);
                let name = self.names.name(packet.netns, index);
                let text = format!("{} by interface {index} ({name})", verb(way));
                (format!("{name} {}", way.name()), text)
            }
            (Place::Capture, index) => {
                let index = index.unwrap_or(0);
                let name = self.names.name(None, index);
                (name, format!("packets of interface {index} of an imported capture"))
            }
        };
        if let Some(netns) = packet.netns {
            let _ = write!(description, ", network namespace {netns}");
        }
        let snaplen = self.names.snaplen;
        let interface =
            InterfaceDescription { link, snaplen, name: &name, description: &description };
        self.writer.interface(&interface)?;
        Ok(number)
    }

    fn packet(&mut self, packet: &Packet, linked: &mut Linked<'_>) -> io::Result<()> {
        let interface = self.interface(packet)?;
        let frame = frame::write(packet, &mut self.bytes);
        self.bytes.truncate(self.names.snaplen as usize);
        self.comment.clear();
        if let Some(owner) = linked.owners.of(packet) {
            // The engine keeps a connection until another record comes; this does not concern this
            // packet.
            let moment = if owner.is_over {
                Moment::default()
            } else {
                linked.engine.output().of(owner.conn_id)
            };
            knows(owner, &moment, &mut self.comment);
        }
        notes(packet, frame.left_out, &mut self.comment);
        let flags = match packet.direction {
            Direction::In => 1,
            Direction::Out => 2,
            Direction::Unknown => 0,
        };
        self.count += 1;
        self.writer.packet(&PacketBlock {
            interface,
            wall_ns: self.timeline.wall_ns(packet.ts_ns).unwrap_or(packet.ts_ns),
            bytes: &self.bytes,
            original: frame.original,
            flags,
            comment: self.comment.trim_end(),
        })
    }
}

const fn verb(way: Direction) -> &'static str {
    match way {
        Direction::In => "received",
        Direction::Out => "sent",
        Direction::Unknown => "seen",
    }
}

/// Writes what is known of a connection: `name=value`, with a space after each. Units are octets, and
/// microseconds if the name has `us`.
fn knows(owner: &Owner, moment: &Moment, out: &mut String) {
    let _ = write!(out, "conn_id={} ", owner.conn_id);
    if let Some(cwnd) = moment.cwnd {
        let _ = write!(out, "cwnd={cwnd} ");
    }
    match moment.ssthresh {
        Some(Ssthresh::Octets(octets)) => {
            let _ = write!(out, "ssthresh={octets} ");
        }
        Some(Ssthresh::Infinite) => out.push_str("ssthresh=infinite "),
        None => {}
    }
    if let Some(us) = moment.srtt_us {
        let _ = write!(out, "srtt_us={us} ");
    }
    if let Some(state) = moment.limit {
        let _ = write!(out, "limit={} ", state.name());
    }
    if owner.cookie != 0 {
        let _ = write!(out, "cookie={} ", owner.cookie);
    }
    if let Some(l) = owner.identity.lifecycle().filter(|l| l.pid != 0) {
        let _ = write!(out, "pid={} comm={} ", l.pid, visible(&l.comm));
    }
}

/// Writes what no header of the frame contains.
fn notes(packet: &Packet, left_out: u32, out: &mut String) {
    if packet.segments > 1 {
        let _ = write!(out, "segments={} ", packet.segments);
    }
    match packet.wrong_checksum {
        Some(Checksum::Ip) => out.push_str("wrong_checksum=ip "),
        Some(Checksum::Tcp) => out.push_str("wrong_checksum=tcp "),
        None => {}
    }
    if packet.is_copy {
        out.push_str("copy=yes ");
    }
    if left_out > 0 {
        let _ = write!(out, "ip_options_left_out={left_out} ");
    }
}

/// The engine, and what packets are found by.
struct Linked<'a> {
    engine: Engine<'a, Moments>,
    owners: Owners,
}

impl Consumer for Linked<'_> {
    type Error = ExportError;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), ExportError> {
        let Ok(()) = self.engine.hook(header, ops, late);
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), ExportError> {
        let Ok(()) = self.engine.lifecycle(record, late);
        if let Some(conn_id) = self.engine.conn_id(&record.header) {
            self.owners.lifecycle(conn_id, record);
        }
        Ok(())
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.engine.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.engine.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.engine.reached(ts_ns);
    }
}

/// Puts the packets between the records.
struct Stream<'a, W, P> {
    linked: Linked<'a>,
    file: File<'a, W>,
    packets: P,
    next: Option<(Box<Packet>, bool)>,
}

impl<W, P> Stream<'_, W, P>
where
    W: Write,
    P: Iterator<Item = Result<(Box<Packet>, bool), LogError>>,
{
    fn take(&mut self) -> Result<Option<(Box<Packet>, bool)>, ExportError> {
        let next = self.packets.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// Writes the packets that come before a record, or all.
    fn before(&mut self, limit: Option<OrderKey>) -> Result<(), ExportError> {
        let due = |at: OrderKey| limit.is_none_or(|limit| at < limit);
        while self.next.as_ref().is_some_and(|(packet, _)| due(packet_key(packet))) {
            if let Some((packet, _)) = self.take()? {
                self.file.packet(&packet, &mut self.linked)?;
            }
        }
        Ok(())
    }
}

impl<W, P> Knows for Stream<'_, W, P>
where
    W: Write,
    P: Iterator<Item = Result<(Box<Packet>, bool), LogError>>,
{
    fn knows(&self, header: &Header) -> bool {
        self.linked.engine.conn_id(header).is_some()
    }
}

impl<W, P> Consumer for Stream<'_, W, P>
where
    W: Write,
    P: Iterator<Item = Result<(Box<Packet>, bool), LogError>>,
{
    type Error = ExportError;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), ExportError> {
        self.before(Some(key(header)))?;
        self.linked.hook(header, ops, late)
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), ExportError> {
        self.before(Some(key(&record.header)))?;
        self.linked.lifecycle(record, late)
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.linked.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.linked.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.linked.reached(ts_ns);
    }
}
