//! Cards that belong to other cores than the boot core, and one whose queue pairs belong to different cores, on a real tap
//! device with several queues.
//!
//! ```text
//!   curl --> tap, two queues --> virtio-net, mq=on --> pair 0 on core 0
//!            (in a network namespace of its own)   --> pair 1 on core 1
//! ```
//!
//! The host steers connections to queues by a hash, so among many both cores get some; each answers with its number. All
//! of it happens in a network namespace that ends with the test. Making one takes root, or user namespaces: where neither
//! is to be had, there is nothing to test with, and the case says so and passes.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::case::Case;
use crate::tool::Tool;

/// Connections, one after the other; enough for a hash to choose both of two queues but for once in 2^59.
const CONNECTIONS: u32 = 60;

/// The cases of this subject.
pub fn cases() -> Vec<Case> {
    let pairs = ["pc", "q35"].into_iter().map(|machine| {
        let name = format!("queues::each_pair_of_a_card_serves_on_its_own_core_on_{machine}");
        Case::new(name, move |tool| pairs_serve(tool, machine))
    });
    let owners = [
        Case::new("queues::command_line_gives_a_card_to_a_core", |tool| owner_serves(tool, "owner=virtio-net0:1", "1")),
        Case::new("queues::application_gives_a_card_to_a_core", |tool| owner_serves(tool, "app-owner=2", "2")),
        Case::new("queues::command_line_goes_before_the_application", |tool| {
            owner_serves(tool, "app-owner=2 owner=virtio-net0:1", "1")
        }),
    ];
    pairs.chain(owners).collect()
}

/// The one card's owner answers, whoever has said who that is.
fn owner_serves(tool: &Tool, words: &str, core: &str) -> Result<(), String> {
    let words = format!("test=answer connections=4 {words}");
    let arguments = ["run", "kernel-tests", "--cpus", "3", "--port", "0:80", "--timeout", "300", "--append", &words];
    let mut running = tool.start(arguments, &[])?;
    let is_url = |line: &str| line.strip_prefix("http://127.0.0.1:").map(|rest| format!("127.0.0.1:{rest}"));
    // The tool's own look is the first connection, or the first few if it was impatient.
    let url = running.await_line(is_url)?;
    let answer =
        Command::new("curl").args(["-s", "-m", "60", url.trim()]).output().map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    if answer != format!("core {core}\n") {
        return Err(format!("{words}: core {core} should have answered, got {answer:?}"));
    }
    while running.is_running() {
        let _ = Command::new("curl").args(["-s", "-m", "5", url.trim()]).output();
    }
    running.finish()?.expect_status(0).map(drop)
}

/// What happens in the namespace. Arguments: the tool, machine, number of connections.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip tuntap add dev tap0 mode tap multi_queue
ip addr add 10.9.0.1/24 dev tap0
ip link set tap0 up
"$1" run kernel-tests --machine "$2" --cpus 2 --nics 0 --timeout 300 \
    --append "test=answer connections=$3 ip=10.9.0.2/24" -- \
    -netdev tap,id=tap0,ifname=tap0,queues=2,script=no,downscript=no,vhost=off \
    -device virtio-net-pci,netdev=tap0,mq=on,vectors=6,disable-legacy=on,romfile= &
machine=$!
tries=0
until curl -s -o /dev/null -m 2 http://10.9.0.2/; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || exit 3
    kill -0 $machine || exit 4
done
for number in $(seq 2 "$3"); do
    echo "answer: $(curl -s -m 60 http://10.9.0.2/)"
done
wait $machine
"#;

fn pairs_serve(tool: &Tool, machine: &str) -> Result<(), String> {
    // For root the namespace alone: in a user namespace of its own it could not even look at the tool's executable.
    let unshare = |options: &[&str], arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).arg("--").args(arguments).stdin(Stdio::null());
        command
    };
    let probe = ["sh", "-c", "ip tuntap add dev t mode tap multi_queue"];
    let works = |options: &&&[&str]| unshare(options, &probe).output().is_ok_and(|output| output.status.success());
    let ways: [&[&str]; 2] = [&["--net"], &["--net", "--map-root-user"]];
    let Some(options) = ways.iter().find(works) else {
        println!("no network namespace with a tap device is to be had here: nothing tested");
        return Ok(());
    };
    tool.run(["build", "kernel-tests"])?.expect_status(0)?;
    let program = tool.program().to_string_lossy();
    let output = unshare(options, &["sh", "-c", SCRIPT, "sh", &program, machine, &CONNECTIONS.to_string()])
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let explain = |what: &str| {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{what}: {}\n-- standard output --\n{text}-- standard error --\n{errors}", output.status))
    };
    if !output.status.success() {
        return explain("the guest or a client failed");
    }
    let mut answers: BTreeMap<&str, u32> = BTreeMap::new();
    for answer in text.lines().filter_map(|line| line.strip_prefix("answer: ")) {
        *answers.entry(answer).or_default() += 1;
    }
    if answers.keys().copied().eq(["core 0", "core 1"]) && answers.values().sum::<u32>() == CONNECTIONS - 1 {
        return Ok(());
    }
    explain(&format!("answers of both cores and no others were expected, got {answers:?}"))
}
