"""Cameras: their state and last picture, a trigger, and pauses."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from PIL import Image

from anomalign.errors import NotFoundError
from anomalign.service.api import camera_schemas, schemas, serializers
from anomalign.service.api.dependencies import ERRORS
from anomalign.service.api.evidence import answer_cached
from anomalign.service.cameras.served_camera import ServedCamera
from anomalign.service.container import ContainerDep
from anomalign.service.kept import rendering
from anomalign.service.security.people import Operator

router = APIRouter(prefix="/api/cameras", tags=["cameras"], responses=ERRORS)

_PICTURE_PX = 640


def _camera(container: ContainerDep, camera: Annotated[str, Path(max_length=64)]) -> ServedCamera:
    found = container.cameras.by_name.get(camera)
    if found is None:
        raise NotFoundError(f"no camera {camera!r} here; there are {', '.join(container.cameras.by_name) or 'none'}")
    return found


CameraDep = Annotated[ServedCamera, Depends(_camera)]
"""Type of a handler's argument: the camera in its path."""


@router.get("")
def list_cameras(container: ContainerDep, person: Operator) -> camera_schemas.Cameras:
    """List all cameras."""
    return {"cameras": [camera_schemas.to_json(camera.status()) for camera in container.cameras.by_name.values()]}


@router.get("/{camera}")
def get_camera(person: Operator, camera: CameraDep) -> camera_schemas.Camera:
    """Return the state of a camera."""
    return camera_schemas.to_json(camera.status())


@router.get(
    "/{camera}/picture.jpg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def camera_picture(request: Request, container: ContainerDep, person: Operator, camera: CameraDep) -> Response:
    """Return the newest frame as a JPEG, longer side at most 640 px; of a lost camera the last one."""
    number, frame = camera.newest()
    if frame is None:
        raise NotFoundError(f"camera {camera.name}: no picture yet")

    def make() -> bytes:
        return rendering.encode_jpeg(rendering.scale(Image.fromarray(frame.pixels()), _PICTURE_PX), quality=85)

    return await answer_cached(request, container, (camera.name, number, frame.time), "image/jpeg", make)


@router.post("/{camera}/trigger")
def trigger_camera(container: ContainerDep, person: Operator, camera: CameraDep) -> schemas.Inspection:
    """Inspect the newest frame, and return the inspection when it is recorded.

    Refused with 409 if the camera is paused, with 429 if its last inspection still runs or too many images wait, and
    with 503 if it is lost.
    """
    record = camera.trigger().result()
    return serializers.inspection(record, container.served_banks.get(record.bank), container.image_files)


@router.post("/{camera}/pause")
def pause_camera(person: Operator, camera: CameraDep) -> camera_schemas.Camera:
    """Inspect no frame of a camera until it is resumed, also over a restart. Its picture stays live."""
    camera.set_paused(True, person.name)
    return camera_schemas.to_json(camera.status())


@router.post("/{camera}/resume")
def resume_camera(person: Operator, camera: CameraDep) -> camera_schemas.Camera:
    """Inspect frames of a camera again."""
    camera.set_paused(False, person.name)
    return camera_schemas.to_json(camera.status())
