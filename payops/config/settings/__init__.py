"""The settings of payops, one module per concern; this one only gathers them.

Configuration comes from the environment (see ``docs/configuration.md``). What production needs and does not have
stops the start with a sentence that says what to set.
"""

from payops.config.settings.environment import *  # noqa: F403
from payops.config.settings.apps import *  # noqa: F403  isort: skip
from payops.config.settings.database import *  # noqa: F403  isort: skip
from payops.config.settings.security import *  # noqa: F403  isort: skip
from payops.config.settings.languages import *  # noqa: F403  isort: skip
from payops.config.settings.jobs import *  # noqa: F403  isort: skip
from payops.config.settings.logs import *  # noqa: F403  isort: skip
from payops.config.settings.files import *  # noqa: F403  isort: skip
from payops.config.settings.api import *  # noqa: F403  isort: skip
from payops.config.settings.unfold import *  # noqa: F403  isort: skip
from payops.config.settings.business import *  # noqa: F403  isort: skip
