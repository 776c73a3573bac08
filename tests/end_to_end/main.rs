//! End to end: the built program, on real files, with a real (if small) network. No Python, no
//! trainer, and nothing downloaded is needed.
//!
//! The network is [`models::colours`]: its classes are red, green and blue.

mod bad_input;
mod benching;
mod board;
mod calibrating;
mod companion;
mod configuration;
mod demo;
mod ending;
mod endurance;
mod enrolling;
mod evaluating;
mod home;
mod inspecting;
mod kept;
mod known_samples;
mod linking;
mod live;
mod models;
mod page;
mod page_in_browser;
mod pictures;
mod program;
mod running;
mod service;
mod videos;
