//! The driver for ATA disks against a controller that the test plays: what it writes into which register and when, what
//! becomes of requests, and what it does about drives that are broken or lie.

mod attach;
mod dma;
mod flush;
mod hostile;
mod packet;
mod pio;
mod property;
mod recovery;
mod rig;
mod setup;
mod task_file;
mod waking;
