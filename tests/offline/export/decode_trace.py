# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Decodes a Perfetto trace by Perfetto's own description of it, checks what its trace processor asks of a
trace, and prints the tracks with what is on them as JSON: decode_trace.py FILE"""

import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

MONOTONIC = pb.BUILTIN_CLOCK_MONOTONIC


def no_unknown_fields(message):
    """What the description does not know would be passed over in silence."""
    assert len(UnknownFieldSet(message)) == 0, message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if hasattr(value, "append") else [value]:
                no_unknown_fields(inner)


def main():
    trace = pb.Trace()
    with open(sys.argv[1], "rb") as file:
        size = trace.ParseFromString(file.read())
    assert size > 0
    tracks, events, clocks = {}, {}, 0
    for packet in trace.packet:
        no_unknown_fields(packet)
        assert packet.trusted_packet_sequence_id != 0
        kind = packet.WhichOneof("data")
        if kind == "clock_snapshot":
            assert packet.clock_snapshot.primary_trace_clock == MONOTONIC
            assert [c.clock_id for c in packet.clock_snapshot.clocks] == [MONOTONIC, 1]
            clocks += 1
        elif kind == "track_descriptor":
            track = packet.track_descriptor
            assert track.uuid not in tracks, "a track is described once"
            assert not track.HasField("parent_uuid") or track.parent_uuid in tracks
            tracks[track.uuid] = track
        elif kind == "track_event":
            assert clocks > 0, "a clock that no snapshot has is refused"
            assert packet.timestamp_clock_id == MONOTONIC
            uuid = packet.track_event.track_uuid
            assert uuid in tracks, "an event comes after its track"
            events.setdefault(uuid, []).append((packet.timestamp, packet.track_event))
        else:
            assert kind == "system_info", kind
    out = []
    for uuid, track in tracks.items():
        slices, instants, counters, begun = [], [], [], []
        # As the trace processor sorts them: by time, then as they stand in the file.
        for ts, event in sorted(events.get(uuid, []), key=lambda e: e[0]):
            arguments = {
                a.name: a.string_value if a.HasField("string_value") else a.uint_value
                for a in event.debug_annotations
            }
            is_counter = event.type == pb.TrackEvent.TYPE_COUNTER
            assert is_counter == track.HasField("counter"), track
            if is_counter:
                counters.append([ts, event.counter_value])
            elif event.type == pb.TrackEvent.TYPE_SLICE_BEGIN:
                begun.append([ts, event.name, arguments])
                assert len(begun) == 1, "slices of a track follow one another"
            elif event.type == pb.TrackEvent.TYPE_SLICE_END:
                since, name, with_it = begun.pop()
                slices.append([since, ts, name, with_it])
            else:
                assert event.type == pb.TrackEvent.TYPE_INSTANT
                instants.append([ts, event.name, arguments])
        assert not begun, f"a slice of {track.name} does not end"
        out.append({
            "uuid": uuid,
            "name": track.name,
            "parent": track.parent_uuid,
            "pid": track.process.pid,
            "comm": track.process.process_name,
            "unit": pb.CounterDescriptor.Unit.Name(track.counter.unit),
            "multiplier": track.counter.unit_multiplier,
            "slices": slices,
            "instants": instants,
            "counters": counters,
        })
    json.dump(out, sys.stdout)


main()
