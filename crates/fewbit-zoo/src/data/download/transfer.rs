//! One file over HTTP.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ureq::http::Response;
use ureq::{Agent, Body};

use super::part::Part;
use super::{DownloadError, Source};

/// Connections that are made after one that ended early.
const MORE_CONNECTIONS: u32 = 5;

/// As [`fetch`](super::fetch), by an agent that takes no status for an error.
pub(super) fn fetch(
    agent: &Agent,
    source: &Source<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PathBuf, DownloadError> {
    let target = folder.join(source.name);
    let is_there = || fs::metadata(&target).is_ok_and(|file| file.is_file() && file.len() == source.bytes);
    if is_there() {
        return Ok(target);
    }
    fs::create_dir_all(folder).map_err(DownloadError::disk("making the folder", folder))?;
    let lock = lock(&target, &folder.join(format!("{}.lock", source.name)))?;
    // Another process may have brought it meanwhile.
    if is_there() {
        return Ok(target);
    }
    let mut part = Part::open(folder.join(format!("{}.part", source.name)), source.bytes)?;
    let mut ended_early = 0;
    while part.length() < source.bytes {
        let before = part.length();
        match receive(agent, source, &mut part, progress) {
            Err(DownloadError::Interrupted { .. })
                if part.length() > before && ended_early < MORE_CONNECTIONS =>
            {
                ended_early += 1;
            }
            result => result?,
        }
    }
    part.finish(source, &target)?;
    drop(lock);
    Ok(target)
}

/// Held by the process that downloads `target`. The lock's file stays, else two could hold one each.
fn lock(target: &Path, path: &Path) -> Result<File, DownloadError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(DownloadError::disk("opening the lock", path))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(DownloadError::Busy { path: target.to_owned() }),
        // A file system without locks: better unguarded than not at all.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Adds what one connection brings; all of it, if there is no error.
fn receive(
    agent: &Agent,
    source: &Source<'_>,
    part: &mut Part,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), DownloadError> {
    let address = || source.address.to_owned();
    let needed = source.bytes;
    let response = ask(agent, source, part.length())?;
    match response.status().as_u16() {
        206 if first_byte(&response) == Some(part.length()) => {}
        // The whole file: the server knows no parts.
        200 => part.clear()?,
        found => {
            // A part that this server cannot go on with is not asked for again.
            if matches!(found, 206 | 416) {
                part.clear()?;
            }
            return Err(DownloadError::Status { address: address(), found });
        }
    }
    let found = response.body().content_length().map(|rest| part.length().saturating_add(rest));
    if let Some(found) = found.filter(|found| *found != needed) {
        return Err(DownloadError::Length { address: address(), found, needed });
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    let cause = loop {
        let count = match body.read(&mut buffer) {
            Ok(0) if part.length() == needed => return Ok(()),
            Ok(0) => break io::Error::from(io::ErrorKind::UnexpectedEof),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break error,
        };
        if part.length() + count as u64 > needed {
            part.clear()?;
            return Err(DownloadError::Length { address: address(), found: needed + 1, needed });
        }
        part.append(&buffer[..count])?;
        progress(part.length(), needed);
    };
    Err(DownloadError::Interrupted { address: address(), done: part.length(), bytes: needed, source: cause })
}

/// Asks for the file from byte `from` on.
fn ask(agent: &Agent, source: &Source<'_>, from: u64) -> Result<Response<Body>, DownloadError> {
    let mut request = agent.get(source.address);
    if from > 0 {
        request = request.header("Range", format!("bytes={from}-"));
    }
    request.call().map_err(|error| DownloadError::Unreachable {
        address: source.address.to_owned(),
        source: error.into_io(),
    })
}

/// Where in the file the part begins that is sent.
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("Content-Range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
