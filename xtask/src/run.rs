//! `cargo xtask run`: from the command line to the application's exit status.
//!
//! ```text
//!   check input -> set up -> build -> start virtiofsd, QEMU -> events ... -> stop, in order -> status
//!                                                                ^
//!                       guest output, web address, signal, end --+
//! ```
//!
//! Everything that can be wrong with the input is looked at before anything is installed, built or started. From the
//! moment the first child runs, one loop on the main thread owns the machine; other threads only read from something
//! and send events to it. However the loop ends, QEMU is stopped first and virtiofsd, which then ends by itself, second.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::accel;
use crate::backlog;
use crate::child;
use crate::cli::{Machine, ParentEnd, RunArgs, VirtioInterface};
use crate::disk::{self, Place};
use crate::exit::{self, Failure, FailureKind};
use crate::image::{self, Application};
use crate::network::{self, Wish};
use crate::ports::HeldPorts;
use crate::qemu::{self, Vm};
use crate::setup::{self, Needs, Program};
use crate::signals::StopSignals;
use crate::symbolize::Symbolizer;
use crate::virtiofsd::Virtiofsd;

/// How long QEMU may take to obey a request to end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How often the loop looks whether QEMU still runs when nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Runs an application; gives its exit status.
///
/// # Errors
///
/// Every kind of [`Failure`]: see [`crate::exit`] for what each means.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    let wish = Wish {
        network: &args.network,
        nic: args.nic,
        cards: args.nics,
        port: args.port,
        recording: args.pcap.as_deref(),
        machine: args.machine,
        cpus: args.cpus,
    };
    let virtio = network::interface_of_devices(args.machine, args.nic, args.virtio);
    check_interface(args.machine, virtio, args.share.is_some())?;
    let cards = network::number_of_cards(&wish);
    check_room(args.machine, cards, args.share.is_some(), disk::virtio_devices(&args.disks))?;
    let place = Place { machine: args.machine, virtio, cpus: args.cpus };
    let disks = disk::check(&args.disks, place)?;
    let share = args.share.as_deref().map(check_share).transpose()?;
    let application = Application::find(&args.build)?;
    let mut ports = HeldPorts::default();
    let mut plan = network::plan(&wish, application.http_port, &mut ports)?;
    let gdb = args.gdb.map(|port| ports.take(port)).transpose()?;

    let mut programs = vec![Program::Qemu];
    if share.is_some() {
        programs.push(Program::Virtiofsd);
    }
    if gdb.is_some() {
        programs.push(Program::Gdb);
    }
    if plan.needs_iproute() {
        programs.push(Program::Iproute);
    }
    setup::ensure(&Needs { target_for: Some(application.directory()), programs })?;
    plan.complete(&wish, application.http_port, &image::target_directory())?;
    let version = qemu::check_version()?;
    let executor = accel::decide(args.accel, &version, &image::target_directory())?;
    if let Some(warning) = application.warning(args) {
        eprintln!("xtask: {warning}");
    }
    let (image, image_file) = application.build_and_open(&args.build)?;

    let (sender, events) = mpsc::channel();
    let _signals = StopSignals::forward(sender.clone(), Event::Signal)
        .map_err(|error| Failure::machine(format!("cannot catch signals: {error}")))?;
    let mut virtiofsd = None;
    let mut inherited = Vec::new();
    if let Some(share) = &share {
        let program = Virtiofsd::find().ok_or_else(|| Failure::preparation("virtiofsd is missing"))?;
        let (server, descriptor) = program.serve(share)?;
        virtiofsd = Some(server);
        inherited.push(descriptor);
    }
    let cannot_share = |error| Failure::machine(format!("cannot open the image again: {error}"));
    let for_qemu = OwnedFd::from(image_file.try_clone().map_err(cannot_share)?);
    let opened = image::path_of(&for_qemu);
    // Of two words for the same thing the guest takes the second.
    let words = [plan.words.as_str(), args.append.as_deref().unwrap_or_default()];
    let command_line = words.iter().filter(|words| !words.is_empty()).copied().collect::<Vec<_>>().join(" ");
    let arguments = qemu::arguments(&Vm {
        image: &opened,
        machine: args.machine,
        virtio,
        memory_mib: args.memory,
        cpus: args.cpus,
        executor,
        command_line: &command_line,
        nic: args.nic,
        cards: &plan.cards,
        share: inherited.first().map(AsRawFd::as_raw_fd),
        disks: &disks,
        gdb,
        extra: &args.qemu,
    });
    inherited.push(for_qemu);
    drop(ports);
    let child = child::spawn_inheriting(
        child::bound(qemu::PROGRAM, ParentEnd::Kill)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
        inherited,
    )
    .map_err(|error| Failure::machine(format!("cannot start QEMU: {error}")))?;

    let mut guest = Guest {
        child,
        symbolizer: Symbolizer::new(&image::path_of(&image_file)),
        last_line: String::new(),
        serving: Arc::new(AtomicBool::new(false)),
        deadline: args.timeout.map(|seconds| (Instant::now() + Duration::from_secs(seconds), seconds)),
    };
    guest.forward_output(&sender);
    for &address in &plan.web {
        if address.ip().is_loopback() {
            let pid = guest.child.id();
            std::thread::spawn(move || backlog::lengthen(pid, address.port()));
        }
        let (serving, sender) = (Arc::clone(&guest.serving), sender.clone());
        std::thread::spawn(move || announce_web_address(address, &serving, &sender));
    }
    // QEMU may not listen yet, but gdb tries again for a while.
    let told = gdb.map_or(Ok(()), |port| print_line(&debugger_command(&image, port)));
    let result = told.and_then(|()| guest.follow(&events));
    guest.stop();
    // Without QEMU its back end ends; `Server` makes sure of it.
    drop(virtiofsd);
    let tidied = network::tidy_recordings(&plan.cards);
    result.and_then(|status| tidied.map(|()| status))
}

/// Checks that the machine has virtio devices of this interface.
fn check_interface(machine: Machine, interface: VirtioInterface, has_share: bool) -> Result<(), Failure> {
    match (machine, interface) {
        (Machine::Microvm, VirtioInterface::Transitional) => {
            Err(Failure::input("microvm has no transitional virtio devices: use --virtio modern or legacy, or PCI"))
        }
        (Machine::Microvm, VirtioInterface::Legacy) if has_share => {
            Err(Failure::input("virtio-fs has no legacy interface, and on microvm all devices have the same"))
        }
        _ => Ok(()),
    }
}

/// Checks that the machine has room for as many virtio devices.
fn check_room(machine: Machine, nics: u8, has_share: bool, disks: usize) -> Result<(), Failure> {
    let room = machine.virtio_devices();
    if usize::from(nics) + usize::from(has_share) + disks <= room {
        return Ok(());
    }
    let next = match machine {
        Machine::Microvm => ", or use --machine q35",
        Machine::Pc | Machine::Q35 => "",
    };
    Err(Failure::input(format!(
        "{} has {room} virtio devices at most: leave out --share, a --disk or one of --nics{next}",
        machine.qemu_name()
    )))
}

/// The share as an absolute path.
fn check_share(share: &Path) -> Result<PathBuf, Failure> {
    let trouble = |reason: String| Failure::input(format!("cannot share {}: {reason}", share.display()));
    let directory = share.canonicalize().map_err(|error| trouble(error.to_string()))?;
    if !directory.is_dir() {
        return Err(trouble("it is not a directory".to_owned()));
    }
    directory.read_dir().map_err(|error| trouble(error.to_string()))?;
    Ok(directory)
}

/// What to type to attach gdb to the guest. The image says what processor it is for, so gdb needs not be told, though the
/// guest's starts in 32-bit mode.
fn debugger_command(image: &Path, port: u16) -> String {
    let image = image.display().to_string();
    let is_plain = image.chars().all(|char| char.is_ascii_alphanumeric() || "/._-+".contains(char));
    let image = if is_plain { image } else { format!("'{}'", image.replace('\'', r"'\''")) };
    format!("gdb {image} -ex 'target remote 127.0.0.1:{port}'")
}

/// What can happen while a guest runs.
enum Event {
    /// The guest wrote a line, here without its end.
    Line(Vec<u8>),
    /// The guest's output ended.
    OutputEnd,
    /// QEMU itself said something.
    QemuMessage(String),
    /// The guest answered an HTTP request at this address.
    WebAnswer(SocketAddr),
    /// A signal asks the tool to stop.
    Signal(i32),
}

/// A running QEMU.
struct Guest {
    child: Child,
    symbolizer: Symbolizer,
    /// What the guest wrote last.
    last_line: String,
    /// Whether the guest has said that it listens.
    serving: Arc<AtomicBool>,
    /// When to give up, and the number of seconds that the user gave.
    deadline: Option<(Instant, u64)>,
}

impl Guest {
    /// Starts the threads that turn QEMU's output into events.
    fn forward_output(&mut self, sender: &Sender<Event>) {
        if let Some(stdout) = self.child.stdout.take() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                    if sender.send(Event::Line(line)).is_err() {
                        return;
                    }
                }
                let _ = sender.send(Event::OutputEnd);
            });
        }
        if let Some(stderr) = self.child.stderr.take() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    let _ = sender.send(Event::QemuMessage(String::from_utf8_lossy(&line).into_owned()));
                }
            });
        }
    }

    /// Handles events until the guest ends, or is to be ended.
    fn follow(&mut self, events: &Receiver<Event>) -> Result<u8, Failure> {
        let mut output_ended = false;
        loop {
            match events.recv_timeout(self.patience()) {
                Ok(Event::Line(line)) => self.show(&line)?,
                Ok(Event::OutputEnd) => output_ended = true,
                Ok(Event::QemuMessage(message)) => eprintln!("{message}"),
                Ok(Event::WebAnswer(address)) => print_line(&format!("http://{address}/"))?,
                Ok(Event::Signal(signal)) => {
                    return Err(Failure::new(FailureKind::Signal(signal), stop_message(signal)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => output_ended = true,
            }
            // The last lines come before the status: look at it only when there is no more output.
            if output_ended && let Some(status) = self.child.try_wait().map_err(cannot_wait)? {
                for event in events.try_iter() {
                    if let Event::QemuMessage(message) = event {
                        eprintln!("{message}");
                    }
                }
                return exit::guest_status(status, &self.last_line);
            }
            if let Some((deadline, seconds)) = self.deadline
                && Instant::now() >= deadline
            {
                return Err(Failure::new(
                    FailureKind::Timeout,
                    format!("the guest did not end within {seconds} seconds"),
                ));
            }
        }
    }

    /// How long to wait for the next event.
    fn patience(&self) -> Duration {
        match self.deadline {
            Some((deadline, _)) => deadline.saturating_duration_since(Instant::now()).min(LOOK_INTERVAL),
            None => LOOK_INTERVAL,
        }
    }

    /// Shows a line of the guest, with names where it is part of a backtrace.
    fn show(&mut self, line: &[u8]) -> Result<(), Failure> {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        let annotated = self.symbolizer.annotate(&line);
        self.last_line = line.into_owned();
        if self.last_line.starts_with("listening on ") {
            self.serving.store(true, Ordering::Relaxed);
        }
        print_line(annotated.as_deref().unwrap_or(&self.last_line))
    }

    /// Makes sure that QEMU has ended.
    fn stop(&mut self) {
        let _ = child::stop(&mut self.child, STOP_PATIENCE);
    }
}

/// Prints a line at once, also into a pipe.
fn print_line(line: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    // A reader that has gone wants no more: the same wish as Ctrl-C.
    written.map_err(|error| Failure::new(FailureKind::Signal(13), format!("cannot write to standard output: {error}")))
}

fn stop_message(signal: i32) -> String {
    match signal {
        2 => "stopped by Ctrl-C".to_owned(),
        other => format!("stopped by signal {other}"),
    }
}

fn cannot_wait(error: std::io::Error) -> Failure {
    Failure::machine(format!("cannot wait for QEMU: {error}"))
}

/// Asks the guest's web server until it answers, then says so. Ends when something that is no web server answers, when
/// nobody listens to events any more, or with the process.
///
/// It asks when the guest says that it listens, or after a while: QEMU accepts connections before there is anybody to
/// answer, and delivers their requests late.
fn announce_web_address(address: SocketAddr, serving: &AtomicBool, sender: &Sender<Event>) {
    const SILENCE: Duration = Duration::from_secs(5);
    let started = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let is_time = serving.load(Ordering::Relaxed) || started.elapsed() > SILENCE;
        match is_time.then(|| ask(address)).flatten() {
            None => {}
            Some(Server::Web) => {
                let _ = sender.send(Event::WebAnswer(address));
                return;
            }
            Some(Server::Other) => return,
        }
    }
}

/// What has answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// It speaks HTTP.
    Web,
    /// It speaks something else, and need not be asked again.
    Other,
}

/// Who answers at `address` within a moment. QEMU accepts a connection to a port of ours even before the guest has a network,
/// so only an answer counts.
fn ask(address: SocketAddr) -> Option<Server> {
    let patience = Duration::from_secs(1);
    let attempt = || -> std::io::Result<Server> {
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let request = "HEAD / HTTP/1.1\r\nHost: toro\r\nUser-Agent: cargo-xtask\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(if start == *b"HTTP/" { Server::Web } else { Server::Other })
    };
    attempt().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn missing_share_and_file_as_share_are_refused() {
        let message = check_share(Path::new("/no/such/directory")).unwrap_err().to_string();
        assert!(message.starts_with("cannot share /no/such/directory: "), "{message}");
        let message = check_share(Path::new("/proc/self/exe")).unwrap_err().to_string();
        assert!(message.ends_with("it is not a directory"), "{message}");
        assert_eq!(check_share(Path::new("/proc/../proc")), Ok(PathBuf::from("/proc")));
    }

    #[test]
    fn interfaces_that_a_machine_lacks_are_refused() {
        use VirtioInterface::{Legacy, Modern, Transitional};
        let check =
            |machine, interface, has_share| check_interface(machine, interface, has_share).map_err(|f| f.kind());
        for machine in [Machine::Pc, Machine::Q35] {
            for interface in [Modern, Transitional, Legacy] {
                assert_eq!(check(machine, interface, true), Ok(()));
            }
        }
        assert_eq!(check(Machine::Microvm, Modern, true), Ok(()));
        assert_eq!(check(Machine::Microvm, Legacy, false), Ok(()));
        assert_eq!(check(Machine::Microvm, Legacy, true), Err(FailureKind::Input));
        assert_eq!(check(Machine::Microvm, Transitional, false), Err(FailureKind::Input));
    }

    #[test]
    fn more_devices_than_a_machine_has_are_refused() {
        for (machine, nics, has_share, disks) in [
            (Machine::Microvm, 8, true, 0),
            (Machine::Microvm, 8, false, 1),
            (Machine::Microvm, 1, true, 7),
            (Machine::Microvm, 0, false, 9),
            (Machine::Pc, 1, false, 30),
        ] {
            let refusal = check_room(machine, nics, has_share, disks).map_err(|failure| failure.kind());
            assert_eq!(refusal, Err(FailureKind::Input));
        }
        for (machine, nics, has_share, disks) in [
            (Machine::Microvm, 7, true, 0),
            (Machine::Microvm, 8, false, 0),
            (Machine::Microvm, 1, true, 6),
            (Machine::Pc, 8, true, 21),
            (Machine::Q35, 8, true, 0),
        ] {
            assert_eq!(check_room(machine, nics, has_share, disks), Ok(()));
        }
    }

    #[test]
    fn the_command_for_the_debugger_can_be_pasted() {
        let command = |image| debugger_command(Path::new(image), 1234);
        assert_eq!(command("/a/b-c_1.0"), "gdb /a/b-c_1.0 -ex 'target remote 127.0.0.1:1234'");
        assert_eq!(command("/my app's/$x"), r"gdb '/my app'\''s/$x' -ex 'target remote 127.0.0.1:1234'");
    }

    #[test]
    fn only_an_answer_in_http_is_a_web_servers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = std::thread::spawn(move || {
            drop(listener.accept().unwrap());
            for answer in ["ERR unknown command\n", "HTTP/1.1 200 OK\r\n\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!([ask(address), ask(address), ask(address)], [None, Some(Server::Other), Some(Server::Web)]);
        answer.join().unwrap();
    }
}
