//! What can be tested without Firecracker: refusals, files, and supervision.
//!
//! A shell script plays Firecracker for the supervision, and for nothing else: it prints what a guest prints, and ends as
//! Firecracker does.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use super::*;
use crate::exit::FailureKind;
use crate::guest::Event;
use crate::network::tap::TapOption;

fn given(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn run_args(options: &str) -> RunArgs {
    let line = format!("xtask run hello {options}");
    let cli = crate::cli::parse(line.split_whitespace().map(Into::into)).unwrap().unwrap();
    match cli.command {
        crate::cli::Command::Run(args) => *args,
        other => panic!("not a run command: {other:?}"),
    }
}

#[test]
fn options_of_the_other_monitor_are_refused_in_one_line() {
    for options in ["--share /", "--machine q35", "--virtio legacy", "--port 80", "--nic e1000", "--nics 2", "--pcap f"]
        .into_iter()
        .chain(["--gdb", "--accel tcg", "--machine microvm", "-- -S"])
    {
        let args = run_args(&format!("--vmm firecracker {options}"));
        let failure = refuse(&args.given, args.vmm).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
        let (message, name) = (failure.to_string(), options.split(' ').next().unwrap());
        assert!(message.contains(name) && message.contains("Firecracker") && !message.contains('\n'), "{message}");
    }
    for options in ["--firecracker /bin/fc", "--boot-timer"] {
        let args = run_args(options);
        let message = refuse(&args.given, args.vmm).unwrap_err().to_string();
        assert!(message.starts_with(options.split(' ').next().unwrap()), "{message}");
    }
    let args =
        run_args("--vmm firecracker --disk a --memory 64 --cpus 2 --timeout 3 --append x --net none --boot-timer");
    assert_eq!(refuse(&args.given, args.vmm), Ok(()));
    assert_eq!(refuse(&given(&["machine", "share"]), Vmm::Qemu), Ok(()));
}

#[test]
fn names_of_refused_options_are_those_of_the_command_line() {
    use clap::CommandFactory;
    let mut command = crate::cli::Cli::command();
    command.build();
    let run = command.find_subcommand("run").unwrap();
    let names: Vec<_> = run.get_arguments().map(|argument| argument.get_id().as_str()).collect();
    for (name, ..) in FOREIGN {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let messages = [
        find_program(Some(Path::new("/no/such/firecracker"))).map(drop),
        find_program(Some(Path::new("/"))).map(drop),
        check_kvm(Path::new("/no/such/kvm")),
        check_cpus(33),
        check_interface(&NetworkOption::Tap(TapOption::default())),
        taps(&[network::Card {
            network: Network::Tap { interface: "tap7".to_owned(), script: None, queues: 2 },
            recording: None,
        }])
        .map(drop),
    ]
    .map(|result| result.unwrap_err())
    .map(|failure| (failure.kind(), failure.to_string()));
    let parts = ["/no/such/firecracker", "not a file", "/no/such/kvm", "32", "ip tuntap add dev tap0", "tap7"];
    for ((kind, message), part) in messages.into_iter().zip(parts) {
        assert_eq!(kind, FailureKind::Input);
        assert!(message.contains(part) && !message.contains('\n'), "{message}");
    }
    assert_eq!(check_cpus(32), Ok(()));
    assert_eq!(check_interface(&NetworkOption::None), Ok(()));
}

#[test]
fn disks_are_raw_and_have_one_queue() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (raw, other) = (file("disk", &[0; 1024]), file("other.qcow2", b"QFI\xfb\0\0\0\x03"));
    let check = |option: String| check_disks(&run_args(&format!("--cpus 4 --disk {option}")));
    assert_eq!(check(raw.clone()).unwrap()[0].queues, 1);
    for (option, part) in
        [(other, "raw images"), (format!("{raw},queues=2"), "one queue"), (format!("{raw},if=ata"), "IDE")]
    {
        let failure = check(option).unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Input);
        assert!(failure.to_string().contains(part), "{failure}");
    }
}

#[test]
fn words_of_the_user_come_last() {
    let args = run_args("--vmm firecracker --append log=debug --boot-timer");
    assert_eq!(command_line(&args, "ip=10.9.0.2/24"), "exit=print boot-timer ip=10.9.0.2/24 log=debug");
    assert_eq!(command_line(&run_args(""), ""), "exit=print");
}

#[test]
fn of_its_messages_the_boot_time_is_shown_and_after_a_failure_the_last_ones() {
    let log = "1\nGuest-boot-time = 5000 us 5 ms, 1000 CPU us 1 CPU ms\n2\n3\n4\n5\n6\n";
    assert_eq!(messages(log, End::Status), ["Guest-boot-time = 5000 us 5 ms, 1000 CPU us 1 CPU ms"]);
    assert_eq!(messages(log, End::Failure)[1..], ["2", "3", "4", "5", "6"]);
    assert_eq!(messages("", End::Failure), [""; 0]);
}

/// Runs a script as Firecracker; gives what came out and the arguments that it was given.
fn supervised(script: &str, timeout: Option<u64>, act: impl FnOnce(&Sender<Event>)) -> (Result<u8, Failure>, String) {
    let directory = tempfile::tempdir().unwrap();
    let (program, arguments) = (directory.path().join("firecracker"), directory.path().join("arguments"));
    fs::write(&program, format!("#!/bin/sh\necho \"$@\" > {}\n{script}\n", arguments.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let vm = Vm {
        image: Path::new("/image"),
        initrd: None,
        command_line: WORDS,
        memory_mib: 64,
        cpus: 1,
        disks: &[],
        taps: &[],
    };
    let files = Files::write(&vm, directory.path()).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&fs::read(files.config()).unwrap()).unwrap();
    assert_eq!(config, config::config(&vm));
    let (sender, events): (_, Receiver<Event>) = mpsc::channel();
    let image = std::env::current_exe().unwrap();
    let supervision = Supervision { monitor: MONITOR, image: Some(&image), web: &[], timeout };
    let child = start(&program, &files, Timer::On, Vec::new()).unwrap();
    let guest = Guest::new(child, &supervision, &sender);
    act(&sender);
    let result = guest.supervise(&supervision, &sender, &events, None);
    let arguments = fs::read_to_string(arguments).unwrap_or_default();
    if !arguments.is_empty() {
        let (config, log) = (files.config(), files.log());
        let (config, log) = (config.display(), log.display());
        let expected = format!("--no-api --config-file {config} --log-path {log} --level Info --boot-timer\n");
        assert_eq!(arguments, expected);
    }
    (result, arguments)
}

#[test]
fn the_exit_status_is_the_last_line_on_the_console() {
    for (script, status) in [
        ("printf 'hello\\r\\n[toro] exit status 0\\r\\n'", 0),
        ("printf '[toro] exit status 101\\r\\n'", 101),
        // Whatever Firecracker itself makes of it.
        ("printf '[toro] exit status 3\\n'; exit 148", 3),
    ] {
        let (result, arguments) = supervised(script, None, |_| {});
        assert_eq!(result, Ok(status), "{script}");
        assert!(!arguments.is_empty());
    }
}

#[test]
fn a_guest_that_vanishes_and_a_firecracker_that_fails_are_failures_of_the_machine() {
    for (script, part) in [
        ("echo hello", "without an exit status"),
        ("printf '[toro] exit status 0\\nmore\\n'", "without an exit status"),
        ("echo trouble >&2; exit 153", "status 153"),
        ("kill -9 $$", "signal 9"),
    ] {
        let failure = supervised(script, None, |_| {}).0.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Machine);
        assert!(failure.to_string().contains(part), "{failure}");
    }
}

#[test]
fn a_guest_that_does_not_end_is_stopped() {
    let (result, _) = supervised("exec sleep 600", Some(1), |_| {});
    assert_eq!(result.unwrap_err().kind(), FailureKind::Timeout);
    let (result, _) = supervised("exec sleep 600", None, |sender| {
        let sender = sender.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            sender.send(Event::Signal(2))
        });
    });
    assert_eq!(result.unwrap_err().kind(), FailureKind::Signal(2));
}
