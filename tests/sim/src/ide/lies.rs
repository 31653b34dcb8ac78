//! [`Lies`]: drives and controllers that are broken, or say what is not so.

/// What a drive does that lies, or is broken.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    /// Busy for ever after the next command.
    pub busy: bool,
    /// No DRQ.
    pub never_drq: bool,
    /// DRQ after the last block.
    pub extra_drq: bool,
    /// All registers read as ones.
    pub gone: bool,
    /// Nothing interrupts.
    pub no_interrupt: bool,
    /// It interrupts while it is still busy.
    pub early_interrupt: bool,
    /// The bus master reports an error, or does not stop.
    pub master_error: bool,
    /// It reports one after it has been stopped, and not before.
    pub late_master_error: bool,
    /// See above.
    pub active_stuck: bool,
    /// The bus master is still active when the drive is done.
    pub stays_active: bool,
    /// The bus master moves nothing.
    pub no_dma: bool,
    /// Where the drive says that it has failed.
    pub failed_lba: Option<u64>,
    /// More bits of the bus master's status.
    pub master_bits: u8,
    /// What a packet device says how many bytes it has.
    pub packet_count: Option<u16>,
    /// Whether it says so only once.
    pub packet_count_once: bool,
    /// The most bytes of a medium that it gives, and then says that this was all.
    pub most_packet_bytes: Option<usize>,
    /// Why it interrupts, it says, when it waits for a packet.
    pub packet_reason: Option<u8>,
    /// The same when it has data.
    pub reason: Option<u8>,
    /// Whether a reset ends the lies.
    pub end_with_reset: bool,
    /// Whether all this is said only of commands like these.
    pub only: Option<fn(u8) -> bool>,
}

impl Lies {
    pub(super) fn any(&self) -> bool {
        self.busy
            || self.never_drq
            || self.extra_drq
            || self.gone
            || self.master_error
            || self.late_master_error
            || self.active_stuck
            || self.stays_active
            || self.no_dma
            || self.early_interrupt
            || self.packet_count.is_some()
            || self.most_packet_bytes.is_some()
            || self.packet_reason.is_some()
            || self.reason.is_some()
    }
}
