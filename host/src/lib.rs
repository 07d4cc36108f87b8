//! The Steerage host: thin drivers around `steerage-core`. Modules in suggested reading order.
//! Holds no logic.
