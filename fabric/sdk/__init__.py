"""What users import to talk to a fabric: `from fabric.sdk import Client, AsyncClient`."""

from fabric.sdk.client import AsyncClient
from fabric.sdk.sync import Client

__all__ = ["AsyncClient", "Client"]
