"""Certificates that vouch for themselves, for the loopback."""

import shutil
import subprocess

import pytest


def make_certificate(folder, name, uri="urn:example:line"):
    """Return the files of a certificate and its key, in PEM."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", f"subjectAltName=DNS:localhost,IP:127.0.0.1,URI:{uri}"]
    usage = ["-addext", "keyUsage=digitalSignature,nonRepudiation,keyEncipherment,dataEncipherment,keyCertSign"]
    command = ["openssl", "req", *options, *names, *usage, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
