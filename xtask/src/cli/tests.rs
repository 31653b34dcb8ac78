use super::*;

fn parse_words(line: &str) -> Result<Option<Cli>, Failure> {
    parse(line.split(' ').map(OsString::from))
}

fn run_args(line: &str) -> RunArgs {
    match parse_words(line).unwrap().unwrap().command {
        Command::Run(args) => *args,
        other => panic!("not a run command: {other:?}"),
    }
}

#[test]
fn definition_of_the_command_line_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn defaults_of_run_are_the_documented_ones() {
    let args = run_args("xtask run hello");
    assert_eq!(args.machine, Machine::Microvm);
    assert_eq!((args.memory, args.cpus, args.nics), (128, 1, None));
    assert_eq!((args.network, args.nic, args.pcap), (NetworkOption::User, Nic::Virtio, None));
    assert_eq!(args.accel, Accel::Auto);
    assert_eq!(args.virtio, VirtioInterface::Modern);
    assert!(args.port.is_none() && args.timeout.is_none() && args.share.is_none());
    assert!(args.build.is_some_and(|build| build.app == "hello" && !build.dev && !build.small));
    assert!(args.image.is_none() && args.firmware == FirmwareKind::Bios);
    assert!(args.gdb.is_none() && args.disks.is_empty() && args.initrd.is_none());
    assert_eq!((args.vmm, args.firecracker, args.boot_timer), (Vmm::Qemu, None, false));
}

#[test]
fn options_that_were_written_are_told_from_defaults() {
    let given = |line| run_args(line).given;
    assert!(!given("xtask run hello --memory 64").contains(&"machine".to_owned()));
    let all = given("xtask run hello --vmm firecracker --machine microvm --net user -- -S");
    for name in ["vmm", "machine", "network", "qemu"] {
        assert!(all.contains(&name.to_owned()), "{name} in {all:?}");
    }
}

#[test]
fn every_option_of_run_is_understood() {
    let args = run_args(
        "xtask run app --share /srv --initrd site --disk a,ro --disk b,if=ata --machine q35 --virtio legacy --memory 64 --cpus 2 --port 9000:81 --nics 3 --net tap,queues=2 --nic virtio-legacy --pcap a.pcap --accel tcg --dev \
         --timeout 5 --append log=off --drivers virtio-net,virtio-fs --without ipv6 -- -S -s"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    );
    assert_eq!((args.share, args.initrd), (Some(PathBuf::from("/srv")), Some(PathBuf::from("site"))));
    assert_eq!((args.machine, args.virtio), (Machine::Q35, VirtioInterface::Legacy));
    assert_eq!(args.port, Some(PortForward { host: 9000, guest: 81 }));
    assert_eq!(args.disks, ["a,ro".parse().unwrap(), "b,if=ata".parse().unwrap()]);
    assert_eq!((args.nics, args.nic), (Some(3), Nic::VirtioLegacy));
    assert_eq!((args.network, args.pcap), ("tap,queues=2".parse().unwrap(), Some(PathBuf::from("a.pcap"))));
    assert_eq!(args.build.unwrap().drivers, Some(vec!["virtio-net".to_owned(), "virtio-fs".to_owned()]));
    assert_eq!(args.append.as_deref(), Some("log=off"));
    assert_eq!(args.qemu, ["-S", "-s"]);
}

#[test]
fn tables_of_what_takes_the_space_are_for_those_who_ask() {
    for (line, bloat) in [("xtask build hello", false), ("xtask build hello --small --bloat", true)] {
        let Command::Build(args) = parse_words(line).unwrap().unwrap().command else { panic!("{line}") };
        assert_eq!(args.bloat, bloat);
    }
    assert!(parse_words("xtask run hello --bloat").is_err());
}

#[test]
fn images_are_built_for_speed_for_size_or_for_debugging() {
    assert_eq!(run_args("xtask run hello").build.map(|build| build.profile()), Some("release"));
    assert_eq!(run_args("xtask run hello --small").build.map(|build| build.profile()), Some("small"));
    assert_eq!(run_args("xtask run hello --dev").build.map(|build| build.profile()), Some("dev"));
}

#[test]
fn one_application_is_built_or_all_of_them() {
    let build = |line: &str| match parse_words(line).unwrap().unwrap().command {
        Command::Build(args) => (args.build.app, args.all, args.build.small),
        other => panic!("not a build command: {other:?}"),
    };
    assert_eq!(build("xtask build hello"), ("hello".to_owned(), false, false));
    assert_eq!(build("xtask build --all --small"), (String::new(), true, true));
    assert!(parse_words("xtask build hello --all").is_err());
    assert!(parse_words("xtask run --all").is_err() && parse_words("xtask run").is_err());
}

#[test]
fn the_debugger_has_a_usual_port() {
    assert_eq!(run_args("xtask run --gdb hello").gdb, Some(1234));
    assert_eq!(run_args("xtask run hello --gdb=0").gdb, Some(0));
    assert!(parse_words("xtask run hello --gdb=70000").is_err());
}

#[test]
fn every_complaint_is_one_line() {
    for line in [
        "xtask",
        "xtask run",
        "xtask run hello --memory 0",
        "xtask run hello --cpus 0",
        "xtask run hello --machine vax",
        "xtask run hello --port x",
        "xtask run hello --timeout 0",
        "xtask run hello --nics 9",
        "xtask run hello --net bridge",
        "xtask run hello --net tap,host=10.0.0.1",
        "xtask run hello --nic ne2000",
        "xtask run hello --disk a,if=scsi",
        "xtask build hello --small --dev",
        "xtask frobnicate",
        "xtask test --seeds 0",
        "xtask test --long --quick",
        "xtask fuzz used_ring --seconds 0",
        "xtask fuzz --minimise",
    ] {
        let message = parse_words(line).unwrap_err().to_string();
        assert!(!message.is_empty() && !message.contains('\n'), "{line}: {message:?}");
        assert!(!message.contains("Usage:") && !message.contains("more information"), "{line}: {message:?}");
    }
}
