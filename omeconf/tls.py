"""TLS of one listener: a context that takes up renewed certificate files, without a restart."""

from __future__ import annotations

import logging
import ssl

from omeconf.daemon.certificates import stamp

log = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often the files are looked at, in seconds."""


class Tls:
    """A certificate, its key and, if there is one, its chain."""

    def __init__(self, certificate: str, key: str, chain: str = "") -> None:
        """Read the files. Raises OSError or ValueError if they are no certificate and its key."""
        self.files = (certificate, key, chain)
        self._seen = self._stamps()
        self._last = self._seen
        self.context = self._read()

    def renew(self) -> None:
        """Take up files that have changed and are at rest; new connections get them.

        What cannot be read is told once; the old certificate stays.
        """
        now = self._stamps()
        at_rest, self._last = now == self._last, now
        if now == self._seen or not at_rest:
            return
        self._seen = now
        certificate, key, chain = self.files
        try:
            self._read()  # into a context of its own first: half of it would be worse
            self.context.load_cert_chain(certificate, key)
            if chain:
                self.context.load_verify_locations(chain)
        except (OSError, ValueError) as error:
            log.error(
                "Cannot take up the certificate %s: %s; the old one stays", certificate, error
            )
        else:
            log.info("The certificate %s was renewed", certificate)

    def _read(self) -> ssl.SSLContext:
        certificate, key, chain = self.files
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        if chain:
            context.load_verify_locations(chain)  # sent along as the intermediate certificates
        return context

    def _stamps(self) -> tuple[object, ...]:
        return tuple(stamp(file) for file in self.files if file)
