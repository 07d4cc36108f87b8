//! Memories as Wasmtime uses them, written to directly.

use futures_util::FutureExt as _;

use super::*;
use crate::sandbox::restore::pages::{FaultWatch, Written};

const PAGE: usize = 4096;
const WASM_PAGE: usize = 64 << 10;

/// A memory of two Wasm pages that was given some content, and its image.
fn laid() -> (Region, Image) {
    let region = Region::new(2 * WASM_PAGE, 16 * WASM_PAGE, WASM_PAGE).unwrap();
    for offset in [0, 5 * PAGE + 7, 2 * WASM_PAGE - 1] {
        write(&region, offset, 7);
    }
    let image = Image::of(&region).unwrap();
    region.lie_on(&image).unwrap();
    assert!(region.equals(&image));
    (region, image)
}

#[expect(unsafe_code, reason = "as a guest does")]
fn write(region: &Region, offset: usize, byte: u8) {
    assert!(offset < region.size());
    // SAFETY: it is accessible, and nobody else has the region.
    unsafe { region.base.as_ptr().add(offset).write_volatile(byte) };
}

fn look(region: &Region, image: &Image) -> Written {
    let mut written = Written::default();
    written.look(region.addresses(image.size())).unwrap();
    written
}

#[test]
fn just_the_pages_that_were_written_are_known_and_put_back() {
    let (region, image) = laid();
    assert_eq!(look(&region, &image).runs(), []);
    for offset in [0, PAGE, 9 * PAGE + 1] {
        write(&region, offset, 1);
    }
    let mut written = look(&region, &image);
    let runs = [(0, 2 * PAGE), (9 * PAGE, 10 * PAGE)];
    assert_eq!(written.runs(), runs.map(|(start, end)| Run { start, end }));
    assert!(!region.equals(&image));
    region.restore(&image, &mut written).unwrap();
    assert!(region.equals(&image));
    // They stay copies, so the next call that writes there has no fault and is put back the same way.
    let faults = super::super::pages::faults_of_thread();
    write(&region, PAGE, 2);
    assert_eq!(super::super::pages::faults_of_thread(), faults);
    region.restore(&image, &mut written).unwrap();
    assert!(region.equals(&image));
}

/// Where there is swap the system takes them out now; where there is none they stay, and the image's own
/// pages go.
#[test]
fn pages_that_the_system_takes_out_are_known_and_put_back() {
    let (region, image) = laid();
    for page in [1, 2, 30] {
        write(&region, page * PAGE, 1);
    }
    let known = look(&region, &image);
    let size = region.size();
    // SAFETY: the region's own; what it holds stays.
    #[expect(unsafe_code, reason = "advice is only offered as unsafe")]
    unsafe { mm::madvise(region.at(0), size, Advice::LinuxPageOut) }.unwrap();
    let mut written = look(&region, &image);
    assert_eq!(written.runs(), known.runs());
    region.restore(&image, &mut written).unwrap();
    assert!(region.equals(&image));
}

#[test]
fn a_first_write_to_a_page_is_a_fault_of_the_thread() {
    let (region, _image) = laid();
    let faults = super::super::pages::faults_of_thread();
    write(&region, 3 * PAGE, 1);
    assert_ne!(super::super::pages::faults_of_thread(), faults);
}

#[test]
fn a_poll_that_writes_a_page_for_the_first_time_is_noted_and_soon_no_other() {
    let (region, _image) = laid();
    let is_noted = |offset: usize| {
        let mut has_faulted = false;
        let guest = std::pin::pin!(async { write(&region, offset, 1) });
        FaultWatch::new(guest, Some(&mut has_faulted)).now_or_never().unwrap();
        has_faulted
    };
    for page in 6..16 {
        assert!(is_noted(page * PAGE), "page {page}");
    }
    // The thread itself may have a fault now and then.
    assert!((0..10).any(|_| !is_noted(6 * PAGE)));
}

#[test]
fn what_it_grew_by_is_zero_when_it_grows_again() {
    let (region, image) = laid();
    region.grow_to(4 * WASM_PAGE).unwrap();
    write(&region, 3 * WASM_PAGE, 9);
    let mut written = look(&region, &image);
    region.restore(&image, &mut written).unwrap();
    assert!(region.equals(&image), "size {}", region.size());
    region.grow_to(4 * WASM_PAGE).unwrap();
    assert!(region.bytes().get(2 * WASM_PAGE..).unwrap().iter().all(|byte| *byte == 0));
    assert!(region.grow_to(16 * WASM_PAGE + 1).is_err(), "beyond its address space");
}

#[test]
fn many_written_pages_are_given_back_instead_of_copied() {
    let region = Region::new(2 * MOST_COPIED, 2 * MOST_COPIED, WASM_PAGE).unwrap();
    write(&region, 1, 7);
    let image = Image::of(&region).unwrap();
    region.lie_on(&image).unwrap();
    for page in 0..=MOST_COPIED / PAGE {
        write(&region, page * PAGE + 1, 1);
    }
    let mut written = look(&region, &image);
    region.restore(&image, &mut written).unwrap();
    assert_eq!((written.bytes(), look(&region, &image).bytes()), (0, 0));
    assert!(region.equals(&image));
}

#[test]
fn a_memory_that_differs_is_not_the_same() {
    let (region, image) = laid();
    let other = Region::new(2 * WASM_PAGE, 16 * WASM_PAGE, WASM_PAGE).unwrap();
    assert!(!other.equals(&image));
    write(&region, WASM_PAGE, 3);
    assert!(!region.equals(&image));
    assert!(!Region::new(WASM_PAGE, WASM_PAGE, 0).unwrap().equals(&image));
}

#[test]
fn instances_that_lie_on_one_image_do_not_see_each_other() {
    let (region, image) = laid();
    let other = Region::new(2 * WASM_PAGE, 16 * WASM_PAGE, WASM_PAGE).unwrap();
    other.lie_on(&image).unwrap();
    write(&region, 0, 1);
    assert!(other.equals(&image) && !region.equals(&image));
}
