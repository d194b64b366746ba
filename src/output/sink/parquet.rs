// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One Parquet file, with everything fixed that its bytes depend on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};

use super::{FileEntry, Origin, SinkError};
use crate::output::tables::{BATCH_ROWS, TableSpec};
use crate::util::private;

/// Rows of a row group: what a reader takes at once, and what the writer holds compressed.
const ROW_GROUP_ROWS: usize = 16 * BATCH_ROWS;
/// In the form readers parse; without the version of this program, or every release would change
/// the bytes of every table.
const CREATED_BY: &str = "estats version 1.0.0 (build 1)";
const ZSTD_LEVEL: i32 = 3;

/// Passes bytes on and hashes them: Parquet is written from front to back.
pub(super) struct Hashing {
    file: BufWriter<File>,
    hash: Sha256,
}

impl Hashing {
    pub fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), hash: Sha256::new() }
    }

    /// Ends the file; gives its digest.
    pub fn finish(self) -> io::Result<String> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(hex(&self.hash.finalize()))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A table on its way to disk.
pub(super) struct ParquetFile {
    path: PathBuf,
    name: String,
    writer: ArrowWriter<Hashing>,
    chunks: BatchCoalescer,
    rows: u64,
}

impl ParquetFile {
    pub fn create(
        path: PathBuf,
        name: String,
        origin: &Origin,
        table: &TableSpec,
    ) -> Result<Self, SinkError> {
        let schema = table.schema();
        let file = private::replace(&path).map_err(|e| SinkError::io("create", &path, e))?;
        let hashing = Hashing::new(file);
        let metadata = origin.metadata(table);
        let properties =
            properties(&schema, &metadata).map_err(|e| SinkError::parquet("write", &path, e))?;
        // Twice: readers that take the Arrow schema out of the metadata see nothing beside it, others not into it.
        let stated = Arc::new(Schema::new_with_metadata(schema.fields().clone(), metadata));
        let writer = ArrowWriter::try_new(hashing, stated, Some(properties))
            .map_err(|e| SinkError::parquet("write", &path, e))?;
        let chunks = BatchCoalescer::new(schema, BATCH_ROWS);
        Ok(Self { path, name, writer, chunks, rows: 0 })
    }

    /// Adds rows, in writes of [`BATCH_ROWS`] however they come: the bytes depend on the sizes.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        self.rows += batch.num_rows() as u64;
        if self.chunks.is_empty() && batch.num_rows() == BATCH_ROWS {
            return self.put(batch);
        }
        let fault = |e| SinkError::parquet("write", &self.path, arrow_error(e));
        self.chunks.push_batch(batch.clone()).map_err(fault)?;
        self.put_chunks()
    }

    fn put_chunks(&mut self) -> Result<(), SinkError> {
        while let Some(chunk) = self.chunks.next_completed_batch() {
            self.put(&chunk)?;
        }
        Ok(())
    }

    fn put(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        self.writer.write(batch).map_err(|e| SinkError::parquet("write", &self.path, e))
    }

    pub fn finish(mut self) -> Result<FileEntry, SinkError> {
        let fault = |e| SinkError::parquet("write", &self.path, arrow_error(e));
        self.chunks.finish_buffered_batch().map_err(fault)?;
        self.put_chunks()?;
        let path = &self.path;
        let hashing = self.writer.into_inner().map_err(|e| SinkError::parquet("write", path, e))?;
        let sha256 = hashing.finish().map_err(|e| SinkError::io("write", path, e))?;
        Ok(FileEntry { file: self.name, rows: self.rows, sha256 })
    }
}

fn arrow_error(e: arrow::error::ArrowError) -> parquet::errors::ParquetError {
    parquet::errors::ParquetError::ArrowError(e.to_string())
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        for digit in [b >> 4, b & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
        }
        text
    })
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are in no table")]
fn properties(
    schema: &Schema,
    metadata: &BTreeMap<String, String>,
) -> parquet::errors::Result<WriterProperties> {
    let metadata =
        metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_key_value_metadata(Some(metadata))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_offset_index_disabled(false);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        builder = match field.data_type() {
            // Smooth integers: their differences are small, and zstd then finds the repetitions.
            DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            DataType::Float64 => builder
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::BYTE_STREAM_SPLIT),
            _ => builder.set_column_dictionary_enabled(column, true),
        };
    }
    Ok(builder.build())
}
