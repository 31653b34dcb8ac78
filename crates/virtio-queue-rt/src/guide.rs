// Its example needs a device, and runs where there is one: as a documentation test of `virtio-sim`.
#![cfg_attr(not(doctest), doc = include_str!("guide.md"))]
