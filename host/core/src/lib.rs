//! Steerage decisions without effects.
