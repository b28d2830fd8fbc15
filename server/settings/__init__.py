"""What the service is told by its environment.

Each setting is declared once, as a field of a dataclass: the variable's name, what its text may be (`text.py`), its
default and its sentence for the documentation. `settings.py` holds them all, those about one subject in a group of
their own; `environment.py` reads them and gathers what is wrong.
"""

from server.settings.declaration import Setting
from server.settings.environment import SettingsError
from server.settings.mail import BrandSettings, SmtpSettings
from server.settings.queues import JobSettings, QueueSettings
from server.settings.redis import RedisSettings
from server.settings.settings import Settings, StackSettings, every_setting
from server.settings.values import Address, RateLimit, Retention

__all__ = [
    "Address",
    "BrandSettings",
    "JobSettings",
    "QueueSettings",
    "RateLimit",
    "RedisSettings",
    "Retention",
    "Setting",
    "Settings",
    "SettingsError",
    "SmtpSettings",
    "StackSettings",
    "every_setting",
]
