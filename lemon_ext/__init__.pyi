from ._api import Record as Record
from ._response import APIResponse as APIResponse
from .batch import arun_batch as arun_batch
from .batch import run_batch as run_batch
from .capabilities import ModelCapabilities as ModelCapabilities
from .capabilities import Violation as Violation
from .capabilities import check as check
from .capabilities import violations as violations
from .client import AsyncImageTask as AsyncImageTask
from .client import AsyncLemon as AsyncLemon
from .client import ImageTask as ImageTask
from .client import Lemon as Lemon
from .errors import APIConnectionError as APIConnectionError
from .errors import APIStatusError as APIStatusError
from .errors import APITimeoutError as APITimeoutError
from .errors import AuthenticationError as AuthenticationError
from .errors import BadRequestError as BadRequestError
from .errors import BudgetError as BudgetError
from .errors import CapabilityError as CapabilityError
from .errors import ConfigurationError as ConfigurationError
from .errors import ConflictError as ConflictError
from .errors import DownloadError as DownloadError
from .errors import ImageGoneError as ImageGoneError
from .errors import InsufficientBalanceError as InsufficientBalanceError
from .errors import JournalError as JournalError
from .errors import LemonError as LemonError
from .errors import LemonWarning as LemonWarning
from .errors import MissingKeyError as MissingKeyError
from .errors import ModerationError as ModerationError
from .errors import ModerationStatusError as ModerationStatusError
from .errors import ModerationTaskError as ModerationTaskError
from .errors import NotFoundError as NotFoundError
from .errors import PayloadTooLargeError as PayloadTooLargeError
from .errors import PermissionDeniedError as PermissionDeniedError
from .errors import RateLimitError as RateLimitError
from .errors import ResponseError as ResponseError
from .errors import SaveError as SaveError
from .errors import ServerError as ServerError
from .errors import SubmissionUncertainError as SubmissionUncertainError
from .errors import TaskCancelledError as TaskCancelledError
from .errors import TaskError as TaskError
from .errors import TaskFailedError as TaskFailedError
from .errors import TaskNotFoundError as TaskNotFoundError
from .errors import TaskTimeoutError as TaskTimeoutError
from .errors import UnprocessableEntityError as UnprocessableEntityError
from .errors import UnreadableSubmissionError as UnreadableSubmissionError
from .interop import apoll_until_done as apoll_until_done
from .interop import poll_until_done as poll_until_done
from .reconciliation import Reconciliation as Reconciliation
from .reconciliation import areconcile as areconcile
from .reconciliation import reconcile as reconcile
from .results import Image as Image
from .results import ImageResult as ImageResult
from .rows import read_rows as read_rows

# Names of openai's, for `except` and arguments that were taken along: see docs/openai.md.
APIError = LemonError
APIResponseValidationError = ResponseError
InternalServerError = ServerError
OpenAIError = LemonError
NOT_GIVEN: None
omit: None

__version__: str
