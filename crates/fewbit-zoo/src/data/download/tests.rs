use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

const BYTES: usize = 1_000;

fn contents() -> Vec<u8> {
    (0..BYTES).map(|index| (7 * index) as u8).collect()
}

fn source(address: &str) -> Source<'_> {
    let sha256 = CheckSum::new(Sha256::digest(contents()).into());
    Source { name: "file.gz", address, bytes: BYTES as u64, sha256 }
}

/// Without the proxy and the security of the one that is used otherwise.
fn plain_agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent()
}

fn fetch_into(folder: &TempDir, address: &str) -> Result<PathBuf, DownloadError> {
    transfer::fetch(&plain_agent(), &source(address), folder.path(), &mut |_, _| {})
}

fn part_in(folder: &TempDir) -> Vec<u8> {
    fs::read(folder.path().join("file.gz.part")).unwrap()
}

/// Gives one answer to each connection, then closes it; the heads of the requests come back, in lower case.
fn serve(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file.gz", listener.local_addr().unwrap());
    let serve_one = move |answer: Vec<u8>| {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        // A client that has had enough hangs up.
        let _ = stream.write_all(&answer);
        head.join("\n").to_lowercase()
    };
    (address, thread::spawn(|| answers.into_iter().map(serve_one).collect()))
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// The whole file is announced, this much of it sent.
fn beginning(sent: usize) -> Vec<u8> {
    answer("200 OK", "Content-Length: 1000\r\n", &contents()[..sent])
}

fn rest_from(first: usize) -> Vec<u8> {
    let headers = format!("Content-Length: {}\r\nContent-Range: bytes {first}-999/1000\r\n", BYTES - first);
    answer("206 Partial Content", &headers, &contents()[first..])
}

#[test]
fn a_file_comes_whole_with_its_progress_and_no_part_is_left() {
    let (address, requests) = serve(vec![beginning(BYTES)]);
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("not/there/yet");
    let mut told = Vec::new();
    let mut progress = |done, bytes| told.push((done, bytes));
    let path = transfer::fetch(&plain_agent(), &source(&address), &below, &mut progress).unwrap();
    assert_eq!((path.clone(), fs::read(path).unwrap()), (below.join("file.gz"), contents()));
    assert!(!below.join("file.gz.part").exists());
    assert_eq!(told.last(), Some(&(1_000, 1_000)));
    assert!(told.is_sorted(), "{told:?}");
    let requests = requests.join().unwrap();
    assert!(requests[0].starts_with("get /file.gz") && !requests[0].contains("range:"), "{requests:?}");
}

#[test]
fn a_connection_that_ends_early_is_gone_on_with() {
    let (address, requests) = serve(vec![beginning(300), rest_from(300)]);
    let folder = tempfile::tempdir().unwrap();
    let path = fetch_into(&folder, &address).unwrap();
    assert_eq!(fs::read(path).unwrap(), contents());
    let requests = requests.join().unwrap();
    assert!(requests[1].contains("range: bytes=300-"), "{requests:?}");
}

#[test]
fn a_connection_that_brings_nothing_is_an_error_and_the_part_waits_for_the_next_command() {
    let nothing =
        answer("206 Partial Content", "Content-Length: 700\r\nContent-Range: bytes 300-999/1000\r\n", &[]);
    let (address, _) = serve(vec![beginning(300), nothing]);
    let folder = tempfile::tempdir().unwrap();
    let error = fetch_into(&folder, &address).unwrap_err();
    assert!(matches!(error, DownloadError::Interrupted { done: 300, bytes: 1_000, .. }), "{error}");
    assert!(error.hint().unwrap().contains("goes on"));
    assert_eq!(part_in(&folder), contents()[..300]);

    let (address, requests) = serve(vec![rest_from(300)]);
    assert_eq!(fs::read(fetch_into(&folder, &address).unwrap()).unwrap(), contents());
    assert!(requests.join().unwrap()[0].contains("range: bytes=300-"));
}

#[test]
fn a_server_that_knows_no_parts_begins_anew() {
    let (address, requests) = serve(vec![beginning(BYTES)]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.gz.part"), [9; 400]).unwrap();
    assert_eq!(fs::read(fetch_into(&folder, &address).unwrap()).unwrap(), contents());
    assert!(requests.join().unwrap()[0].contains("range: bytes=400-"));
}

#[test]
fn another_part_than_the_one_asked_for_is_an_error() {
    for reply in [rest_from(200), answer("416 Range Not Satisfiable", "Content-Length: 0\r\n", &[])] {
        let (address, _) = serve(vec![reply]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file.gz.part"), &contents()[..400]).unwrap();
        let error = fetch_into(&folder, &address).unwrap_err();
        assert!(matches!(error, DownloadError::Status { found: 206 | 416, .. }), "{error}");
        assert!(part_in(&folder).is_empty());
    }
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let mut other = contents();
    other[500] ^= 1;
    let (address, _) = serve(vec![answer("200 OK", "Content-Length: 1000\r\n", &other)]);
    let folder = tempfile::tempdir().unwrap();
    let error = fetch_into(&folder, &address).unwrap_err();
    let DownloadError::CheckSum { found, needed, .. } = &error else { panic!("{error}") };
    assert_eq!(*found, CheckSum::new(Sha256::digest(&other).into()));
    assert!(error.to_string().contains(&needed.to_string()), "{error}");
    for name in ["file.gz", "file.gz.part"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_address_and_status() {
    let (address, _) = serve(vec![answer("404 Not Found", "Content-Length: 4\r\n", b"gone")]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.gz.part"), &contents()[..400]).unwrap();
    let error = fetch_into(&folder, &address).unwrap_err();
    assert_eq!(error.to_string(), format!("{address} answers with status 404, 200 needed"));
    assert!(!folder.path().join("file.gz").exists());
    // It may be there again tomorrow.
    assert_eq!(part_in(&folder).len(), 400);
}

#[test]
fn a_file_of_another_length_is_an_error_whether_it_is_announced_or_not() {
    let longer = [contents(), vec![0]].concat();
    for headers in ["Content-Length: 1001\r\n", ""] {
        let (address, _) = serve(vec![answer("200 OK", headers, &longer)]);
        let folder = tempfile::tempdir().unwrap();
        let error = fetch_into(&folder, &address).unwrap_err();
        assert!(matches!(error, DownloadError::Length { found: 1_001, needed: 1_000, .. }), "{error}");
        assert!(error.to_string().contains("more than 1000 bytes found, 1000 needed"), "{error}");
        assert!(part_in(&folder).is_empty());
    }
    let (address, _) = serve(vec![answer("200 OK", "Content-Length: 999\r\n", &contents()[..999])]);
    let error = fetch_into(&tempfile::tempdir().unwrap(), &address).unwrap_err();
    assert!(matches!(error, DownloadError::Length { found: 999, .. }), "{error}");
}

#[test]
fn what_is_there_is_not_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}/file.gz", listener.local_addr().unwrap());

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.gz"), contents()).unwrap();
    fetch_into(&folder, &address).unwrap();
    // Nor what is there as a part.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.gz.part"), contents()).unwrap();
    let path = fetch_into(&folder, &address).unwrap();
    assert_eq!(fs::read(path).unwrap(), contents());

    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_part_that_is_longer_than_the_file_is_dropped() {
    let (address, requests) = serve(vec![beginning(BYTES)]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file.gz.part"), [1; BYTES + 1]).unwrap();
    assert_eq!(fs::read(fetch_into(&folder, &address).unwrap()).unwrap(), contents());
    assert!(!requests.join().unwrap()[0].contains("range:"));
}

#[test]
fn two_do_not_download_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.gz.lock");
    let held = OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
    held.lock().unwrap();
    let error = fetch_into(&folder, "http://127.0.0.1:1/file.gz").unwrap_err();
    assert!(matches!(&error, DownloadError::Busy { path } if path.ends_with("file.gz")), "{error}");
}

#[test]
fn without_a_network_the_error_says_what_to_do() {
    // Nobody listens at port 1.
    let error = fetch_into(&tempfile::tempdir().unwrap(), "http://127.0.0.1:1/file.gz").unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1/file.gz"), "{error}");
    assert!(error.hint().unwrap().contains("--data"));
}

#[test]
fn an_address_that_is_not_secure_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&source("http://127.0.0.1:1/file.gz"), folder.path(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("https"), "{error}");
}

#[test]
fn a_set_without_an_address_says_where_people_get_it() {
    let error = fetch_set(DataSetKind::Text, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("gutenberg"), "{error}");
}
