//! Requirements of the specification, and lies of devices, one test each and named after them: initialisation,
//! features and configuration, whatever the device type.
//!
//! ```text
//!   trace   registers that remember every access and can lie      rig   a device behind them, and the driver
//!   ini     initialisation, status and reset                      status, lies   devices that misbehave there
//!   ftr     feature negotiation                                   cfg, fields    device configuration
//! ```
//!
//! Everything runs over both modern transports; what legacy devices do differently is tested over the legacy ones.

#[path = "../common/mod.rs"]
mod common;

mod cfg;
mod fields;
mod ftr;
mod ini;
mod legacy;
mod lies;
mod rig;
mod status;
mod trace;
