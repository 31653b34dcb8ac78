//! A client that we did not write: `curl`, as a process.

use std::{fs, process::Command};

use web_tests::{
    config::Config,
    host::{Directory, Running},
};

use crate::site::{Scratch, pattern};

/// Runs curl and returns what it wrote to its standard output.
fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {errors}");
    output.stdout
}

fn text(arguments: &[&str]) -> String {
    String::from_utf8(curl(arguments)).expect("text")
}

fn start() -> (Scratch, Running<Directory>, String) {
    let scratch = Scratch::new();
    scratch.file("a.bin", pattern(300_000)).file("dir/<b> & \"ç\".txt", "escaped").file("dir/plain", "plain");
    let server = Running::start(Directory::new(scratch.path()), Config::default());
    let base = format!("http://{}", server.address);
    (scratch, server, base)
}

#[test]
fn curl_reuses_its_connection() {
    let (_scratch, _server, base) = start();
    let url = format!("{base}/dir/plain");
    let written = text(&[&url, &url, &url, "--write-out", " %{http_code} %{num_connects}\n"]);
    assert_eq!(written, "plain 200 1\nplain 200 0\nplain 200 0\n");
}

#[test]
fn curl_gets_ranges_and_resumes() {
    let (scratch, _server, base) = start();
    let url = format!("{base}/a.bin");
    assert_eq!(curl(&["--range", "1000-250999", &url]), pattern(300_000)[1000..251_000]);
    assert_eq!(curl(&["--range", "-5", &url]), pattern(300_000)[299_995..]);
    let target = scratch.path().join("partial");
    fs::write(&target, &pattern(300_000)[..123_456]).expect("a partial file");
    let target = target.to_str().expect("UTF-8");
    curl(&["--continue-at", "-", "--output", target, &url]);
    assert_eq!(fs::read(target).expect("the file"), pattern(300_000));
}

#[test]
fn curl_does_not_fetch_what_it_has() {
    let (scratch, _server, base) = start();
    let url = format!("{base}/a.bin");
    let tags = scratch.path().join("tags");
    let tags = tags.to_str().expect("UTF-8");
    let first =
        ["--etag-save", tags, "--etag-compare", tags, "--write-out", "%{http_code}", "--output", "/dev/null", &url];
    fs::write(tags, "").expect("a file");
    assert_eq!(text(&first), "200");
    assert_eq!(text(&first), "304");
    let file = scratch.path().join("a.bin");
    let file = file.to_str().expect("UTF-8");
    assert_eq!(text(&["--time-cond", file, "--write-out", "%{http_code}", "--output", "/dev/null", &url]), "304");
}

#[test]
fn curl_follows_a_listing_with_odd_names() {
    let (_scratch, _server, base) = start();
    let listing = text(&["--location", &format!("{base}/dir")]);
    assert!(listing.contains("&lt;b&gt; &amp; &quot;ç&quot;.txt</a>"), "{listing}");
    let link = listing
        .split("href=\"")
        .filter_map(|part| part.split('"').next())
        .find(|link| link.starts_with("%3Cb%3E"))
        .expect("a link");
    assert_eq!(text(&[&format!("{base}/dir/{link}")]), "escaped");
    assert_eq!(text(&["--globoff", &format!("{base}/dir/%3Cb%3E%20&%20\"ç\".txt")]), "escaped");
}

#[test]
fn curl_asks_for_heads_and_is_refused_uploads() {
    let (_scratch, _server, base) = start();
    let url = format!("{base}/a.bin");
    let head = text(&["--head", &url]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(head.contains("\r\nContent-Length: 300000\r\n"));
    let code = ["--write-out", "%{http_code}", "--output", "/dev/null", &url];
    let with = |more: &[&'static str]| text(&[more, code.as_slice()].concat());
    assert_eq!(with(&["--data", "x=y"]), "405");
    assert_eq!(with(&["--request", "PROPFIND"]), "501");
    assert_eq!(with(&["--http1.0"]), "200");
    assert_eq!(with(&["--header", "Host:"]), "400");
    assert_eq!(
        text(&[
            "--path-as-is",
            "--write-out",
            "%{http_code}",
            "--output",
            "/dev/null",
            &format!("{base}/dir/../../etc/passwd")
        ]),
        "400"
    );
}
