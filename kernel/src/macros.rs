//! The macros of the public API.

/// Prints to the console, as `std::print!` does to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::write_fmt(::core::format_args!($($argument)*)) };
}

/// Prints a line to the console, as `std::println!` does to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => {
        $crate::console::write_fmt(::core::format_args!("{}\n", ::core::format_args!($($argument)*)))
    };
}

/// Prints a line to the console; there is one console, so this is [`println!`](crate::println) by another name.
#[macro_export]
macro_rules! eprintln {
    ($($argument:tt)*) => { $crate::println!($($argument)*) };
}

/// Declares values of which each thread has its own, as `std::thread_local!`: made on first use, dropped when the thread's
/// function has returned.
///
/// ```ignore
/// toro::thread_local! {
///     static VISITS: Cell<u32> = const { Cell::new(0) };
/// }
/// VISITS.with(|visits| visits.set(visits.get() + 1));
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = const $value:block $(; $($rest:tt)*)?) => {
        $crate::thread_local!($(#[$attribute])* $visibility static $name: $type = $value $(; $($rest)*)?);
    };
    ($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visibility static $name: $crate::thread::LocalKey<$type> = $crate::thread::LocalKey::new(|| $value);
        $($crate::thread_local!($($rest)*);)?
    };
}

/// Names the application's main function, which the kernel calls in the thread `main` once the machine is ready.
///
/// `main` is `fn()` or `fn() -> Result<(), E>` with `E: Debug`, as for an ordinary program. When it returns, the virtual
/// machine ends: with exit status 0, or 1 after printing the error.
///
/// An application can bring [drivers](crate::driver::Driver) of its own. They are asked before those of the kernel, in
/// the order in which they are listed, so that one of them may also take the place of one of the kernel's.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// toro::entry!(main);
///
/// fn main() {
///     toro::println!("hello");
/// }
/// ```
///
/// With two drivers, each a `&'static dyn Driver`:
///
/// ```ignore
/// toro::entry!(main, drivers: [my_disk::DRIVER, my_clock::DRIVER]);
/// ```
///
/// With a say in which cores own which device, a `fn(&str) -> Option<Vec<CoreId>>` that gets names such as
/// `virtio-net0`; the command line's `owner=` goes before it:
///
/// ```ignore
/// toro::entry!(main, owners: owners);
///
/// fn owners(device: &str) -> Option<Vec<CoreId>> {
///     (device == "virtio-net1").then(|| toro::core::all().skip(1).collect())
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        $crate::entry!($main, drivers: []);
    };
    ($main:path, owners: $owners:path) => {
        $crate::entry!($main, drivers: [], owners: $owners);
    };
    ($main:path, drivers: [$($driver:expr),* $(,)?]) => {
        $crate::entry!($main, drivers: [$($driver),*], owners: $crate::core::no_owners);
    };
    ($main:path, drivers: [$($driver:expr),* $(,)?], owners: $owners:path) => {
        const _: () = {
            // The kernel calls the application by these names (src/boot/start.rs).
            // Not inlined, so that tools find where the application starts.
            #[unsafe(no_mangle)]
            #[inline(never)]
            extern "Rust" fn toro_application_main() -> u8 {
                $crate::process::Termination::report($main())
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn toro_application_drivers() -> &'static [&'static dyn $crate::driver::Driver] {
                static DRIVERS: &[&dyn $crate::driver::Driver] = &[$($driver),*];
                DRIVERS
            }

            #[unsafe(no_mangle)]
            extern "Rust" fn toro_application_owners(
                device: &str,
            ) -> ::core::option::Option<$crate::core::CoreList> {
                $owners(device)
            }
        };
    };
}
