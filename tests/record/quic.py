# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Both ends of a transfer over QUIC, with aioquic: python quic.py server|client ADDRESS PORT."""

import asyncio
import datetime
import ssl
import sys
import tempfile

from aioquic.asyncio import connect, serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SIZE = 2_000_000


class Server(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.end_stream:
            self._quic.send_stream_data(event.stream_id, bytes(SIZE), end_stream=True)
            self.transmit()


def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    text = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tempfile.NamedTemporaryFile(suffix=".pem")
    file.write(cert.public_bytes(pem) + text)
    file.flush()
    return file


async def server(address, port):
    configuration = QuicConfiguration(is_client=False)
    with certificate() as file:
        configuration.load_cert_chain(file.name)
    await serve(address, port, configuration=configuration, create_protocol=Server)
    print("ready", flush=True)
    await asyncio.Future()


async def client(address, port):
    configuration = QuicConfiguration(is_client=True, verify_mode=ssl.CERT_NONE)
    async with connect(address, port, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"all")
        writer.write_eof()
        assert len(await reader.read()) == SIZE
        # Its estimate of the RTT (RFC 9002, 5): the least, and the average.
        recovery = connection._quic._loss
        print(recovery._rtt_min, recovery._rtt_smoothed)


role = {"server": server, "client": client}[sys.argv[1]]
asyncio.run(role(sys.argv[2], int(sys.argv[3])))
