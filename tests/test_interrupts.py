import os
import signal
import subprocess
import sys
import textwrap

import pytest

from vidswap import interrupts

SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass
except KeyboardInterrupt:
    pass
"""


def run(tmp_path, code):
    (tmp_path / "swallowing.py").write_text(SWALLOWS)
    command = [sys.executable, "-c", "from vidswap import interrupts; interrupts.install()\n" + textwrap.dedent(code)]
    return subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_import_that_swallows_interrupts_is_ended(tmp_path):
    done = run(tmp_path, "import swallowing; print('went on')")
    assert (done.returncode, done.stderr, done.stdout) == (130, interrupts.INTERRUPTED, "")


def test_elsewhere_an_interrupt_is_raised(tmp_path):
    code = """
        import os, signal
        try:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100): pass
        except KeyboardInterrupt:
            print('raised')
    """
    done = run(tmp_path, code)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "raised\n")


@pytest.mark.parametrize("own", ["signal.SIG_IGN", "print"])
def test_a_handler_that_somebody_set_stays(tmp_path, own):
    code = f"import signal; signal.signal(signal.SIGINT, {own}); interrupts.install(); " + (
        f"assert signal.getsignal(signal.SIGINT) is {own}"
    )
    assert run(tmp_path, code).returncode == 0


def test_a_run_puts_its_own_in_the_place_of_the_usual_ones():
    from vidswap.runtime.interrupt import interruptible

    before = signal.signal(signal.SIGINT, interrupts.stop)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGINT) not in interrupts.USUAL
        assert signal.getsignal(signal.SIGINT) is interrupts.stop
    finally:
        signal.signal(signal.SIGINT, before)


def test_when_the_work_is_done_an_interrupt_changes_nothing(tmp_path):
    done = run(tmp_path, "import os, signal; interrupts.over(); os.kill(os.getpid(), signal.SIGINT); print('ended')")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "ended\n")
