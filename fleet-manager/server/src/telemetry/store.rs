//! Telemetry in the database.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::chunk::{self, FULL_RATE, KEEP_MINUTES, chunk_of, hour_of, hour_of_chunk, key};
use super::codec::{decode, encode};
use super::gather::{Closed, Gather};
use super::sample::{SERIES, Sample};
use crate::clock::millis;
use crate::error::Error;

/// Bytes of one sample in the journal: the box's number, the time, the values.
const JOURNAL_SAMPLE: usize = 8 + 8 + 4 * SERIES;
/// A journal row older than this has all its samples in chunks: the longest that a chunk stays open is its own length
/// and the waits after it.
const JOURNAL_KEEP_MS: i64 = (chunk::CHUNK_S + 300) * 1_000;

/// Stores a chunk and its minutes. What is there already of the same time is kept beside it, so that a
/// repetition changes nothing.
///
/// # Errors
/// SQLite's.
pub(crate) fn close(connection: &Connection, closed: Closed) -> Result<(), Error> {
    let row = key(closed.box_no, closed.chunk);
    let mut samples = closed.samples;
    if let Some(stored) = blob(connection, "SELECT samples FROM telemetry_full WHERE key = ?1", row)? {
        samples = chunk::replaced(read(&stored), samples);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO telemetry_full (key, samples) VALUES (?1, ?2)")?
        .execute(params![row, encode(&samples)])?;

    let hour = key(closed.box_no, hour_of_chunk(closed.chunk));
    let mut minutes = chunk::minutes(&samples);
    if let Some(stored) = blob(connection, "SELECT samples FROM telemetry_minute WHERE key = ?1", hour)? {
        minutes = chunk::replaced(read(&stored), minutes);
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO telemetry_minute (key, samples) VALUES (?1, ?2)")?
        .execute(params![hour, encode(&minutes)])?;
    Ok(())
}

/// What is stored at full rate from `from_ms` on, in order of time.
///
/// # Errors
/// SQLite's.
pub(crate) fn load_full(connection: &Connection, box_no: i64, from_ms: i64) -> Result<Vec<Sample>, Error> {
    range(
        connection,
        "SELECT samples FROM telemetry_full WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
        key(box_no, chunk_of(box_no, from_ms.max(0))),
        key(box_no, i64::from(u32::MAX)),
    )
}

/// The minutes from `from_ms` on, in order of time.
///
/// # Errors
/// SQLite's.
pub(crate) fn load_minutes(connection: &Connection, box_no: i64, from_ms: i64) -> Result<Vec<Sample>, Error> {
    range(
        connection,
        "SELECT samples FROM telemetry_minute WHERE key BETWEEN ?1 AND ?2 ORDER BY key",
        key(box_no, hour_of(box_no, from_ms.max(0))),
        key(box_no, i64::from(u32::MAX)),
    )
}

/// Adds a batch of all boxes to the journal.
///
/// # Errors
/// SQLite's.
pub(crate) fn append_journal(
    connection: &Connection,
    samples: &[(i64, Sample)],
    now_ms: i64,
) -> Result<(), Error> {
    if samples.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::with_capacity(samples.len() * JOURNAL_SAMPLE);
    for (box_no, sample) in samples {
        bytes.extend_from_slice(&box_no.to_le_bytes());
        bytes.extend_from_slice(&sample.at_ms.to_le_bytes());
        for value in sample.values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    connection
        .prepare_cached("INSERT INTO telemetry_journal (at_ms, samples) VALUES (?1, ?2)")?
        .execute(params![now_ms, bytes])?;
    Ok(())
}

/// Removes what is in chunks by now.
///
/// # Errors
/// SQLite's.
pub(crate) fn prune_journal(connection: &Connection, now_ms: i64) -> Result<(), Error> {
    connection
        .prepare_cached(
            // By id, which rises with the time: the table needs no index on it.
            "DELETE FROM telemetry_journal WHERE id <= (
                 SELECT max(id) FROM (
                     SELECT id, at_ms FROM telemetry_journal ORDER BY id LIMIT 4096
                 ) WHERE at_ms < ?1
             )",
        )?
        .execute([now_ms - JOURNAL_KEEP_MS])?;
    Ok(())
}

/// Gathers again what an earlier process had not stored as chunks. What it had comes twice, which changes nothing.
///
/// # Errors
/// SQLite's.
pub(crate) fn replay(connection: &Connection, gather: &mut Gather, now_ms: i64) -> Result<usize, Error> {
    let mut statement = connection.prepare("SELECT samples FROM telemetry_journal ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(0)?.as_blob().unwrap_or_default();
        for entry in bytes.chunks_exact(JOURNAL_SAMPLE) {
            if let Some((box_no, sample)) = journal_entry(entry) {
                count += usize::from(gather.add(box_no, sample, now_ms));
            }
        }
    }
    Ok(count)
}

fn journal_entry(entry: &[u8]) -> Option<(i64, Sample)> {
    let (box_no, rest) = entry.split_first_chunk()?;
    let (at_ms, rest) = rest.split_first_chunk()?;
    let mut values = [f32::NAN; SERIES];
    for (value, bytes) in values.iter_mut().zip(rest.as_chunks().0) {
        *value = f32::from_le_bytes(*bytes);
    }
    Some((i64::from_le_bytes(*box_no), Sample { at_ms: i64::from_le_bytes(*at_ms), values }))
}

/// Removes what is too old of one box.
///
/// # Errors
/// SQLite's.
pub(crate) fn prune_box(connection: &Connection, box_no: i64, now_ms: i64) -> Result<(), Error> {
    let full = chunk_of(box_no, now_ms - millis(FULL_RATE));
    let minutes = hour_of(box_no, now_ms - millis(KEEP_MINUTES));
    for (table, oldest) in [("telemetry_full", full), ("telemetry_minute", minutes)] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE key >= ?1 AND key < ?2"))?
            .execute([key(box_no, 0), key(box_no, oldest)])?;
    }
    Ok(())
}

/// Removes everything of one box.
///
/// # Errors
/// SQLite's.
pub(crate) fn remove_box(connection: &Connection, box_no: i64) -> Result<(), Error> {
    for table in ["telemetry_full", "telemetry_minute"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE key >= ?1 AND key < ?2"))?
            .execute([key(box_no, 0), key(box_no + 1, 0)])?;
    }
    Ok(())
}

fn blob(connection: &Connection, sql: &str, key: i64) -> Result<Option<Vec<u8>>, Error> {
    Ok(connection.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()?)
}

fn range(connection: &Connection, sql: &str, first: i64, last: i64) -> Result<Vec<Sample>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([first, last])?;
    let mut samples = Vec::new();
    while let Some(row) = rows.next()? {
        samples.extend(read(row.get_ref(0)?.as_blob().unwrap_or_default()));
    }
    Ok(samples)
}

/// A damaged chunk is a gap in a chart, and not a page that fails.
fn read(bytes: &[u8]) -> Vec<Sample> {
    decode(bytes).unwrap_or_else(|error| {
        log::warn!("database: {error}");
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::db::migrate::SCHEMA).unwrap();
        connection
    }

    fn at(at_ms: i64) -> Sample {
        Sample { at_ms, values: [0.5; SERIES] }
    }

    #[test]
    fn a_restart_loses_no_sample() {
        let connection = database();
        let mut gather = Gather::default();
        let samples: Vec<_> = (0..30).map(|n| (1 + n % 3, at(NOW + n * 1_000))).collect();
        for (box_no, sample) in &samples {
            gather.add(*box_no, *sample, NOW);
        }
        append_journal(&connection, &samples, NOW).unwrap();
        let mut again = Gather::default();
        assert_eq!(replay(&connection, &mut again, NOW + 60_000).unwrap(), 30);
        assert_eq!(again.of(2).len(), gather.of(2).len());
        prune_journal(&connection, NOW + 60_000).unwrap();
        assert_eq!(replay(&connection, &mut Gather::default(), NOW).unwrap(), 30);
        prune_journal(&connection, NOW + JOURNAL_KEEP_MS + 1).unwrap();
        assert_eq!(replay(&connection, &mut Gather::default(), NOW).unwrap(), 0);
    }

    #[test]
    fn chunks_become_minutes_and_repetitions_change_nothing() {
        let connection = database();
        for _ in 0..2 {
            let mut gather = Gather::default();
            for n in 0..60 {
                gather.add(1, at(NOW + n * 10_000), NOW + n * 10_000);
            }
            for closed in gather.close(NOW + 3_600_000) {
                close(&connection, closed).unwrap();
            }
        }
        let full = load_full(&connection, 1, NOW).unwrap();
        assert_eq!(full.iter().filter(|sample| sample.at_ms >= NOW).count(), 60);
        let minutes = load_minutes(&connection, 1, NOW).unwrap();
        assert!((10..=11).contains(&minutes.len()), "{}", minutes.len());
        assert!(load_full(&connection, 2, NOW).unwrap().is_empty());
        assert!(load_full(&connection, 0, NOW).unwrap().is_empty());
    }

    #[test]
    fn old_telemetry_goes() {
        let connection = database();
        let mut gather = Gather::default();
        gather.add(1, at(NOW), NOW);
        gather.add(2, at(NOW), NOW);
        for closed in gather.close(NOW + 3_600_000) {
            close(&connection, closed).unwrap();
        }
        prune_box(&connection, 1, NOW + 3 * 3_600_000).unwrap();
        assert!(load_full(&connection, 1, NOW).unwrap().is_empty());
        assert_eq!(load_minutes(&connection, 1, NOW).unwrap().len(), 1);
        prune_box(&connection, 1, NOW + 8 * 24 * 3_600_000).unwrap();
        assert!(load_minutes(&connection, 1, NOW).unwrap().is_empty());
        assert_eq!(load_full(&connection, 2, NOW).unwrap().len(), 1);
        remove_box(&connection, 2).unwrap();
        assert!(load_minutes(&connection, 2, NOW).unwrap().is_empty());
    }
}
