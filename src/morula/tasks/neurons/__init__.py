"""Dense neurons in electron microscopy: affinities of a labelled block are learned, predicted, decoded."""

from morula.tasks.neurons.augment import recolour, symmetry
from morula.tasks.neurons.block import Block, Dense, Part, grey, parted, prepare
from morula.tasks.neurons.crops import Crops, Labelled, fitting, window
from morula.tasks.neurons.decode import Decoder, curve, decoder_of, lowest, tune
from morula.tasks.neurons.finetune import finetune, finetuned, optimiser_of
from morula.tasks.neurons.geometry import Backbone, build, is_isotropic, offsets_of, patch_of
from morula.tasks.neurons.label_free import GREY_CONTROL, grey_affinities, grey_control
from morula.tasks.neurons.learn import Problem, learn, problem_of
from morula.tasks.neurons.mirror import averaged
from morula.tasks.neurons.predict import predict_affinities
from morula.tasks.neurons.render import render
from morula.tasks.neurons.segmenter import Segmenter, load_segmenter, save_segmenter, segmenter_of
from morula.tasks.neurons.self_training import self_train, untuned
from morula.tasks.neurons.settings import Decode, Finetune, Network, Optimiser, SelfTraining, Size
from morula.tasks.neurons.story import chapters
from morula.tasks.neurons.train import train
from morula.tasks.neurons.unlabelled import Unlabelled, pretrained, unlabelled_of

__all__ = [
    "GREY_CONTROL",
    "Backbone",
    "Block",
    "Crops",
    "Decode",
    "Decoder",
    "Dense",
    "Finetune",
    "Labelled",
    "Network",
    "Optimiser",
    "Part",
    "Problem",
    "Segmenter",
    "SelfTraining",
    "Size",
    "Unlabelled",
    "averaged",
    "build",
    "chapters",
    "curve",
    "decoder_of",
    "finetune",
    "finetuned",
    "fitting",
    "grey",
    "grey_affinities",
    "grey_control",
    "is_isotropic",
    "learn",
    "load_segmenter",
    "lowest",
    "offsets_of",
    "optimiser_of",
    "parted",
    "patch_of",
    "predict_affinities",
    "prepare",
    "pretrained",
    "problem_of",
    "recolour",
    "render",
    "save_segmenter",
    "segmenter_of",
    "self_train",
    "symmetry",
    "train",
    "tune",
    "unlabelled_of",
    "untuned",
    "window",
]
