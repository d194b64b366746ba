// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! CRC-32 as in zlib and PNG (`zlib.crc32` in Python), over the compressed bytes of a frame.
//!
//! zstd's own checksum covers the content, not the bytes: some bits of a compressed block (the
//! padding of an entropy table) can flip without changing what it decodes to. With this one every
//! flipped bit is found, before decompression. Eight bytes a step, so that it costs nothing beside
//! compression; not worth a dependency.

const TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let below = tables[t - 1][i];
            tables[t][i] = below >> 8 ^ tables[0][(below & 0xff) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
};

/// CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_on(0, bytes)
}

/// CRC-32 of `bytes` behind others whose CRC-32 is `before`; that of nothing is 0.
pub fn crc32_on(before: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut crc = !before;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk) ^ u64::from(crc);
        crc = (0..8).fold(0, |acc, i| acc ^ TABLES[7 - i][(word >> (8 * i) & 0xff) as usize]);
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_catalogued_check_value_and_itself_bytewise() {
        // The check value of CRC-32/ISO-HDLC in the CRC catalogue.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        let long: Vec<u8> = (0..1000_u32).map(|i| (i * 7 % 251) as u8).collect();
        let mut bytewise = !0_u32;
        for byte in &long {
            bytewise = bytewise >> 8 ^ TABLES[0][((bytewise ^ u32::from(*byte)) & 0xff) as usize];
        }
        assert_eq!(crc32(&long), !bytewise);
        assert_eq!(crc32_on(crc32(&long[..333]), &long[333..]), crc32(&long));
    }
}
