"""For those who write a tracker plugin: fakes to test against."""
