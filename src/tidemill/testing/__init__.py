"""Contract suites: what every backend of a port must do, for its author to run and for our own tests.

Each `check_…` takes a backend, uses it as the program does, and raises AssertionError at the first thing that is off:

    from tidemill.testing.detectors import check_detector

    def test_mine():
        check_detector(MyDetector())
"""
