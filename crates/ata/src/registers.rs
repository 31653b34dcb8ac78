//! The registers of a channel (ATA/ATAPI-7 volume 2 §5.2, Programming Interface for Bus Master IDE 1.0 §2).
//!
//! ```text
//!   command block                          control               bus master, 8 ports per channel
//!   +0  data, 16 or 32 bits                alternate status (r)  +0  command: START, direction
//!   +1  error (r), features (w)            device control (w)    +2  status:  ACTIVE, ERROR, INTR
//!   +2  count                                                    +4  address of the PRD table
//!   +3  +4  +5  LBA low, mid, high
//!   +6  device: which of the two, LBA 27:24
//!   +7  status (r), command (w)
//! ```
//!
//! Reading the status takes the interrupt back, reading the alternate status does not. With LBA48 each of the registers
//! from count to LBA high is two deep; what was written before last comes back with HOB set.

use bitflags::bitflags;
use toro_core::Registers;

bitflags! {
    /// The status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Status: u8 {
        /// The command failed; for a packet, it has something to say about it.
        const ERR = 1 << 0;
        /// Data wants to be moved.
        const DRQ = 1 << 3;
        /// Device fault.
        const DF = 1 << 5;
        const DRDY = 1 << 6;
        /// Nothing else means anything while this is set.
        const BSY = 1 << 7;
        const _ = !0;
    }

    /// The error register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Error: u8 {
        /// Address mark not found, of old.
        const AMNF = 1 << 0;
        /// Command aborted.
        const ABRT = 1 << 2;
        /// No such sector.
        const IDNF = 1 << 4;
        /// Uncorrectable data.
        const UNC = 1 << 6;
        /// Spoilt on the cable.
        const ICRC = 1 << 7;
        const _ = !0;
    }

    /// The bus master's status register.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Master: u8 {
        const ACTIVE = 1 << 0;
        const ERROR = 1 << 1;
        const INTR = 1 << 2;
        /// Whether drives are set up for DMA: the firmware's notes, which writes keep.
        const NOTES = 3 << 5;
        /// Only one of the channels at a time.
        const SIMPLEX = 1 << 7;
        const _ = !0;
    }
}

/// What all registers of a drive that is not there read as.
const FLOATING: u8 = 0xff;

impl Status {
    /// Whether nobody answers.
    pub(crate) fn is_floating(self) -> bool {
        self.bits() == FLOATING
    }

    /// Whether the drive has failed the command.
    pub(crate) fn has_failed(self) -> bool {
        self.intersects(Self::ERR | Self::DF)
    }
}

const DATA: usize = 0;
const ERROR: usize = 1;
const FEATURES: usize = 1;
const COUNT: usize = 2;
const LBA_LOW: usize = 3;
const LBA_MID: usize = 4;
const LBA_HIGH: usize = 5;
const DEVICE: usize = 6;
const STATUS: usize = 7;
const COMMAND: usize = 7;

/// Device control: no interrupts.
pub(crate) const NIEN: u8 = 1 << 1;
/// Device control: software reset, of both drives.
pub(crate) const SRST: u8 = 1 << 2;
/// Device control: show the deeper half of the registers.
const HOB: u8 = 1 << 7;

/// Device register: the second drive.
const SECOND: u8 = 1 << 4;
/// Device register: bits that were always one in old standards.
pub(crate) const OBSOLETE: u8 = 0xa0;
/// Device register: addresses are LBA.
pub(crate) const LBA: u8 = 1 << 6;

const MASTER_COMMAND: usize = 0;
const MASTER_STATUS: usize = 2;
const MASTER_TABLE: usize = 4;
const START: u8 = 1 << 0;
/// The device writes to memory.
const TO_MEMORY: u8 = 1 << 3;
/// Ports of one channel's bus master.
const MASTER_PORTS: usize = 8;

/// The registers of one channel, as a platform hands them over.
#[derive(Clone, Debug)]
pub struct ChannelRegisters<R> {
    /// The command block: eight ports.
    pub command: R,
    /// The control block: the port of the device control register alone, as in compatibility mode, or the four ports of a
    /// native-mode base address register, of which it is the third.
    pub control: R,
    /// The controller's bus master, 16 ports for both channels; without it there is no DMA.
    pub bus_master: Option<R>,
}

/// How much moves with one access to the data port.
///
/// The port has 16 bits (ATA/ATAPI-7 volume 2 §5.5). A controller on PCI takes 32 at once and makes two transfers of them
/// on the drive's side, which costs half as many accesses; what does not fill 32 bits moves with 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataWidth {
    /// What every controller takes.
    Bits16,
    /// What those on PCI take.
    Bits32,
}

/// What a command finds in the registers: features, count, address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskFile {
    pub(crate) features: u8,
    pub(crate) count: u16,
    pub(crate) lba: u64,
    pub(crate) width: Width,
    /// Bits of the device register besides the drive and the address.
    pub(crate) device: u8,
}

/// How deep the registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 28 bits of address, 8 of count.
    Short,
    /// 48 bits of address, 16 of count.
    Long,
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the drive to memory.
    In,
    /// From memory to the drive.
    Out,
}

/// One channel's registers, by name.
pub(crate) struct Ports<R> {
    command: R,
    control: R,
    control_offset: usize,
    width: DataWidth,
    master: Option<R>,
    master_offset: usize,
}

impl<R: Registers> Ports<R> {
    /// `number` is 0 for the primary channel, 1 for the secondary.
    pub(crate) fn new(registers: ChannelRegisters<R>, width: DataWidth, number: usize) -> Self {
        let ChannelRegisters { command, control, bus_master } = registers;
        let control_offset = if control.len() > 2 { 2 } else { 0 };
        let master_offset = MASTER_PORTS * number;
        let master = bus_master.filter(|ports| ports.len() >= master_offset + MASTER_PORTS);
        Self { command, control, control_offset, width, master, master_offset }
    }

    /// Reads the status and takes the interrupt back.
    pub(crate) fn status(&self) -> Status {
        Status::from_bits_retain(self.command.read8(STATUS))
    }

    /// Reads the status and leaves the interrupt.
    pub(crate) fn alternate(&self) -> Status {
        Status::from_bits_retain(self.control.read8(self.control_offset))
    }

    /// Waits for 400 ns, in which a drive may still show its old status: reading a port takes at least 100.
    pub(crate) fn settle(&self) -> Status {
        for _ in 0..3 {
            self.alternate();
        }
        self.alternate()
    }

    pub(crate) fn error(&self) -> Error {
        Error::from_bits_retain(self.command.read8(ERROR))
    }

    /// Writes the device control register.
    pub(crate) fn control(&self, bits: u8) {
        self.control.write8(self.control_offset, bits);
    }

    /// Turns to one of the two drives.
    pub(crate) fn select(&self, drive: usize) {
        self.command.write8(DEVICE, OBSOLETE | drive_bit(drive));
    }

    /// Writes the whole command block but the command.
    pub(crate) fn write_task_file(&self, drive: usize, file: &TaskFile) {
        let [count_low, count_high] = file.count.to_le_bytes();
        let [low, mid, high, fourth, fifth, sixth, ..] = file.lba.to_le_bytes();
        let mut device = file.device | drive_bit(drive);
        self.command.write8(FEATURES, file.features);
        match file.width {
            Width::Short => device |= fourth & 0x0f,
            Width::Long => self.write_address(count_high, [fourth, fifth, sixth]),
        }
        self.write_address(count_low, [low, mid, high]);
        self.command.write8(DEVICE, device);
    }

    fn write_address(&self, count: u8, [low, mid, high]: [u8; 3]) {
        self.command.write8(COUNT, count);
        self.command.write8(LBA_LOW, low);
        self.command.write8(LBA_MID, mid);
        self.command.write8(LBA_HIGH, high);
    }

    pub(crate) fn command(&self, code: u8) {
        self.command.write8(COMMAND, code);
    }

    /// Whether count and LBA low keep what is written to them, as those of a drive do.
    pub(crate) fn remembers(&self) -> bool {
        [(0x55, 0xaa), (0xaa, 0x55)].into_iter().all(|(count, low)| {
            self.command.write8(COUNT, count);
            self.command.write8(LBA_LOW, low);
            self.command.read8(COUNT) == count && self.command.read8(LBA_LOW) == low
        })
    }

    /// LBA mid and high: the signature after a reset, the byte count of a packet's data.
    pub(crate) fn mid_and_high(&self) -> [u8; 2] {
        [self.command.read8(LBA_MID), self.command.read8(LBA_HIGH)]
    }

    /// The count register, which says why a drive interrupts during a packet.
    pub(crate) fn reason(&self) -> u8 {
        self.command.read8(COUNT)
    }

    /// The address in the registers, after a failure. `control` is what the device control register holds otherwise.
    pub(crate) fn address(&self, width: Width, control: u8) -> u64 {
        let read = || [LBA_LOW, LBA_MID, LBA_HIGH].map(|register| self.command.read8(register));
        let [low, mid, high] = read();
        let upper = match width {
            Width::Short => [self.command.read8(DEVICE) & 0x0f, 0, 0],
            Width::Long => {
                self.control(control | HOB);
                let upper = read();
                self.control(control);
                upper
            }
        };
        u64::from_le_bytes([low, mid, high, upper[0], upper[1], upper[2], 0, 0])
    }

    /// Reads as many words as the bytes take.
    pub(crate) fn read_data(&self, bytes: &mut [u8]) {
        let (wide, rest) = bytes.split_at_mut(self.wide(bytes.len()));
        self.command.read32s(DATA, wide);
        self.command.read16s(DATA, rest);
        // Half of the last word, if that is all that was asked for.
        if let [last] = rest.as_chunks_mut::<2>().1 {
            [*last, _] = self.command.read16(DATA).to_ne_bytes();
        }
    }

    /// Reads words that nobody wants.
    pub(crate) fn drain_data(&self, words: usize) {
        for _ in 0..words {
            self.command.read16(DATA);
        }
    }

    pub(crate) fn write_data(&self, bytes: &[u8]) {
        let (wide, rest) = bytes.split_at(self.wide(bytes.len()));
        self.command.write32s(DATA, wide);
        self.command.write16s(DATA, rest);
    }

    /// How many of so many bytes move with 32 bits.
    fn wide(&self, bytes: usize) -> usize {
        if self.width == DataWidth::Bits32 { bytes - bytes % 4 } else { 0 }
    }

    /// Whether there is a bus master, and this channel may use it.
    pub(crate) fn has_master(&self) -> bool {
        let status = self.master_status();
        self.master.is_some()
            && status.bits() != FLOATING
            && !(status.contains(Master::SIMPLEX) && self.master_offset > 0)
    }

    /// The bus master's status; all ones where there is none.
    pub(crate) fn master_status(&self) -> Master {
        let bits = self.master.as_ref().map(|master| master.read8(self.master_offset + MASTER_STATUS));
        Master::from_bits_retain(bits.unwrap_or(FLOATING))
    }

    fn write_master(&self, register: usize, value: u8) {
        if let Some(master) = &self.master {
            master.write8(self.master_offset + register, value);
        }
    }

    /// Tells the stopped bus master of a table and a direction, and clears what it says about the last one.
    pub(crate) fn prepare_master(&self, table: u32, direction: Direction) {
        self.stop_master();
        if let Some(master) = &self.master {
            master.write32(self.master_offset + MASTER_TABLE, table);
        }
        self.write_master(MASTER_COMMAND, direction_bit(direction));
        self.clear_master();
    }

    pub(crate) fn start_master(&self, direction: Direction) {
        self.write_master(MASTER_COMMAND, direction_bit(direction) | START);
    }

    /// Stops it; says whether it has stopped.
    pub(crate) fn stop_master(&self) -> Stopped {
        if self.master.is_none() {
            return Stopped::Yes;
        }
        self.write_master(MASTER_COMMAND, 0);
        let status = self.master_status();
        // All ones: it is gone, and reaches nothing any more.
        let is_active = status.contains(Master::ACTIVE) && status.bits() != FLOATING;
        if is_active { Stopped::No } else { Stopped::Yes }
    }

    /// Clears ERROR and INTR.
    pub(crate) fn clear_master(&self) {
        let kept = self.master_status() & Master::NOTES;
        self.write_master(MASTER_STATUS, (kept | Master::ERROR | Master::INTR).bits());
    }
}

/// Whether the bus master keeps away from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It does.
    Yes,
    /// It says that it is still at it.
    No,
}

fn drive_bit(drive: usize) -> u8 {
    if drive == 0 { 0 } else { SECOND }
}

fn direction_bit(direction: Direction) -> u8 {
    match direction {
        Direction::In => TO_MEMORY,
        Direction::Out => 0,
    }
}
