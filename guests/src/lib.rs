//! The guest programs, as the paths of files that the build script has built from source.
//!
//! It does not run them. What each does is written at the top of its source in
//! `guests/programs/examples` (services) and `guests/programs/src/bin` (programs).
//!
//! A guest that no test uses should not be there. Whoever tests them says so once, and a guest
//! without a test function of its name no longer compiles:
//!
//! ```
//! macro_rules! has_a_test {
//!     ($guest:ident) => {
//!         const _: fn() = $guest;
//!     };
//! }
//! steerage_guests::foreach_guest!(has_a_test);
//!
//! # macro_rules! pretend { ($guest:ident) => { fn $guest() {} }; }
//! # steerage_guests::foreach_guest!(pretend);
//! // #[test]
//! // fn echo() { … steerage_guests::ECHO … }
//! # fn main() { assert!(std::path::Path::new(steerage_guests::ECHO).is_file()); }
//! ```

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
